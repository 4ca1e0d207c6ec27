"""What is wrong with a run, where its time went, and what to change."""
