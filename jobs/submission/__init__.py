"""Sending a verb to a Ray cluster: what is said, what travels, and what comes back."""
