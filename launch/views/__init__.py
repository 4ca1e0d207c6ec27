"""What jobs do and did, told to a person."""
