"""The tests. A package of that name, so that `python -m tests.X` finds these and not those of a dependency."""
