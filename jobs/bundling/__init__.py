"""Exports a model to a bundle, and proves that each form makes the same predictions."""
