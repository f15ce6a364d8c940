"""The parts of `python -m jobs.benchmark`."""
