"""What a job will cost, and what it did cost."""
