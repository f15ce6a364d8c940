"""Names of models for people, beside the fingerprint, which tells models apart."""

from __future__ import annotations

from pathlib import PurePosixPath

from actors.messages import redacted


def model_name(source: str | None, architecture: str | None, checkpoint: str | None) -> str:
    """Returns the shortest text by which people know the model: that of ``timm:resnet18`` is ``resnet18``.

    Args:
        source: `model.source`.
        architecture: `model.architecture`.
        checkpoint: `model.checkpoint`; only the name of its file is used.
    """
    name = (source or "").removeprefix("timm:") or architecture or PurePosixPath(checkpoint or "").stem
    return redacted(name)
