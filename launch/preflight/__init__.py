"""A request checked before it is sent, offline: every problem at once, each with its remedy."""
