"""Converts published rows for other tools."""
