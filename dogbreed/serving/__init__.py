"""From a trained head to an answer."""
