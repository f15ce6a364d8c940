"""Reads an output folder: its published runs, and their rows and errors as tables."""

from actors.outputs.output import Output, open_output
from actors.outputs.published_run import PublishedRun
from actors.outputs.view import View

__all__ = ["Output", "PublishedRun", "View", "open_output"]
