"""Hydra's launcher and sweeper for SageMaker."""
