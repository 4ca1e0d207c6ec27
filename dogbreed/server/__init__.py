"""An artifact's answers over HTTP."""
