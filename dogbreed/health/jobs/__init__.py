"""A SageMaker job, from what came back of it: how its billed seconds were spent, and what its rules meant."""
