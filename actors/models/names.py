"""Human-readable model names, in addition to the fingerprint, which identifies a model."""

from __future__ import annotations

from pathlib import PurePath

from actors.messages import redacted


def model_name(source: str | None, architecture: str | None, checkpoint: str | None) -> str:
    """Returns a human-readable name: the model's source, or its architecture with the file name of its weights.

    Args:
        source: `model.source`.
        architecture: `model.architecture`.
        checkpoint: `model.checkpoint`; only the name of its file is used.
    """
    file = PurePath(redacted(checkpoint or "")).name
    return redacted(source) if source else " ".join(filter(None, (architecture, file)))
