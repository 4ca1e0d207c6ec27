"""SageMaker as a backend: sessions, requests, logs, and what AWS says when it refuses."""
