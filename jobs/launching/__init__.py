"""Starts RayJobs on Kubernetes: the parts of `python -m jobs.launch`."""
