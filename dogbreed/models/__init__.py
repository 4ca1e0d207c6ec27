"""Backbones, heads, metrics, and the classifier that joins them."""
