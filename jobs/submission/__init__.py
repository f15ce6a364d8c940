"""Submitting a verb to a Ray cluster: the request, the code that is uploaded, and the log that comes back."""
