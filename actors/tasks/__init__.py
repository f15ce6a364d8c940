"""Tasks: one module for each kind of answer from a model."""
