"""What `python -m jobs.launch` is made of."""
