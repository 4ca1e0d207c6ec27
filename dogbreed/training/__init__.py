"""What happens around a fit: the record of the epochs, the guards, the way back after an interruption."""
