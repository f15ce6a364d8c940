"""What is wanted from a model: one module a task."""
