"""The timm or torchvision record for an architecture whose weights come from the user: the pre-processing of its
pretrained weights, which fine-tuned weights share.
"""

from __future__ import annotations

from actors.models.model_files import file_name
from actors.models.sources.base import Record
from actors.models.sources.preprocess_records import from_timm, from_torchvision
from actors.models.sources.timm_source import pretrained_cfg
from actors.models.sources.torchvision_source import kwargs_of, transforms_of, weights_of


def architecture_record(architecture: str, checkpoint: str) -> Record:
    """Returns the record of ``timm:NAME`` or ``torchvision:NAME``.

    For timm, the record is that of the tag in the name, by default timm's first. For torchvision, it is that of the
    weights with the file name of ``checkpoint``, by default the oldest weights.

    Raises:
        JobError: the library has no such architecture, or cannot be imported.
    """
    library, _, name = architecture.partition(":")
    where = f"model.architecture={architecture}"
    if library == "timm":
        return Record().prepared(from_timm, pretrained_cfg(name, where))
    weights = list(weights_of(name, where).values())
    named = [entry for entry in weights if file_name(entry.url) == file_name(checkpoint)]
    preset = next((transforms_of(name, entry) for entry in [*named, *weights]), None)
    return Record(kwargs=kwargs_of(name)).prepared(from_torchvision, preset)
