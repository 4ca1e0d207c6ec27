"""Jobs on this machine, in processes laid out as SageMaker's container is: for rehearsal and for tests."""
