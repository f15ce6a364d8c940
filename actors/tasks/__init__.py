"""Tasks: one module for each kind of answer that a model can give."""
