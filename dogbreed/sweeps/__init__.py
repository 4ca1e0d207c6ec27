"""Many runs at once: a space to search, proposals out of it, a fleet of heads that trains them side by side."""
