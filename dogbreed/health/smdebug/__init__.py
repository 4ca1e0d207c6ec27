"""What the hook of SageMaker Debugger saves, and how it is read again."""
