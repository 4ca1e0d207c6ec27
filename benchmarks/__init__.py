"""Measurements, each printed with what it is compared with: `python -m benchmarks.NAME`."""
