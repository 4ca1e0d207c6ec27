"""The configuration files, installed as the package dogbreed.conf."""
