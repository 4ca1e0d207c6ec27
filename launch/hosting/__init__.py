"""Endpoints at Amazon SageMaker: made, asked, listed, updated, and always taken away again."""
