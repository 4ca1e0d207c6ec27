"""What makes the documentation's pages that are not written by hand. Not installed."""
