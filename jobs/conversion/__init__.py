"""Conversion of published rows for other tools."""
