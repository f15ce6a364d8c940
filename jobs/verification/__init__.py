"""Proves, from the files alone, that a run is complete and intact. Independent of the code that writes runs."""
