"""Models named in one key, ``model.source``. Re-exports the public names."""

from actors.models.sources.base import Record, Source
from actors.models.sources.registry import complete, model_from

__all__ = ["Record", "Source", "complete", "model_from"]
