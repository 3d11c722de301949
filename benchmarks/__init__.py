"""Measurements that anyone can run; each prints what it compared."""
