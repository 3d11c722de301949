"""What can be known of a cluster before it costs money: mistakes in its file, prices, hours."""
