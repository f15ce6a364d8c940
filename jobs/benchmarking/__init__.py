"""Measurements of `python -m jobs.benchmark`, and their figures."""
