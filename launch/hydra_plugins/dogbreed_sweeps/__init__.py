"""The sweeper of dogbreed, where Hydra looks for plugins."""
