"""Sends the same configs elsewhere: to SageMaker, or to a process on this machine laid out as its container is."""
