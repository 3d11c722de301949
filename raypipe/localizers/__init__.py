"""Networks that say where a class is: one method a file, found by entry point."""
