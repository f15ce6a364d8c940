"""The text part of a transformers folder whose model has an image and a text part, such as CLIP. Runs on the driver,
and where Python callers create a predictor; importing it loads no library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.models.hub_files import pinned
from actors.models.sources.folder_source import Folder, settings
from actors.models.spec import Model

if TYPE_CHECKING:
    from actors.models.sources.base import Source


@dataclass(frozen=True)
class TextSource:
    """A model with an image and a text part, and the files of its tokenizer."""

    model: Model
    """Architecture, settings and weights of the whole model."""
    tokenizer: dict[str, bytes]
    """Files by name."""
    where: str
    """The folder as named in messages."""


def read_text_source(source: Source) -> TextSource:
    """Returns the text part of the folder ``source``.

    Raises:
        JobError: there is no such folder, or its model has no known text part or no tokenizer.
        UnreachableError: a server does not answer.
    """
    folder = Folder.of(source)
    config = folder.document("config.json")
    if config is None:
        raise folder.unknown()
    saved_as = str(next(iter(config.get("architectures") or ()), ""))
    if saved_as not in TEXT_MODELS:
        raise JobError(
            f"{folder.where}: its config.json is of a {saved_as or 'model without architectures'}, which has no text "
            "part that can embed prompts",
            fix=f"give a folder of {' or '.join(TEXT_MODELS)}, such as hf:openai/clip-vit-base-patch32, as "
            "model.source or task.text_source",
        )
    files = {name: data for name in _TOKENIZER if (data := folder.content(name)) is not None}
    if not files:
        raise JobError(
            f"{folder.where}: holds no tokenizer: none of {', '.join(_TOKENIZER)}",
            fix="save it there with tokenizer.save_pretrained",
        )
    model = Model(
        architecture=f"transformers:{saved_as}",
        kwargs=settings(config),
        checkpoint=pinned(folder.weights()),
        storage_options=source.storage_options,
    )
    return TextSource(model, files, folder.where)


TEXT_MODELS = ("CLIPModel", "SiglipModel")
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "spiece.model",
)
