"""Folders in the layout of the Hugging Face hub, written by transformers or timm, in the hub (``hf:REPO@REVISION``) or
in any store.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.models.bundle_files import RECORD
from actors.models.hub_files import HUGGING_FACE, if_there, is_hub, pinned
from actors.models.model_files import reading
from actors.models.sources.base import Record
from actors.models.sources.preprocess_records import from_timm, from_transformers
from actors.models.sources.timm_source import own_labels
from actors.storage.store import Storage
from actors.storage.uris import absolute, join

if TYPE_CHECKING:
    from actors.models.sources.base import Source


class FolderSource:
    """See `actors.models.sources.base.SourceReader`."""

    def owns(self, source: Source) -> bool:
        return source.library in ("hf", "")

    def read(self, source: Source) -> Record:
        folder = Folder.of(source)
        config = folder.document("config.json")
        if config is None:
            raise folder.unknown()
        read = _of_timm if "architecture" in config else _of_transformers
        return read(folder, config)


@dataclass(frozen=True)
class Folder:
    """The files of a folder, in a hub or a store."""

    uri: str
    where: str
    storage: Storage

    @classmethod
    def of(cls, source: Source) -> Folder:
        """Returns the folder of ``source``; for a hub, at the commit that its revision currently names."""
        uri = source.name
        if source.library == "hf":
            if if_there(f"{HUGGING_FACE}{source.name}/{RECORD}"):
                raise JobError(
                    f"{source.where}: the repository holds a bundle of shardlens, which is read from a folder",
                    fix=f"fetch it with `hf download {source.name.partition('@')[0]} --local-dir DIR`, and set "
                    "model.source=DIR",
                )
            # The first file fetched determines the commit from which all other files are taken.
            uri = pinned(f"{HUGGING_FACE}{source.name}/config.json").removesuffix("/config.json")
        return cls(uri if is_hub(uri) else absolute(uri), source.where, Storage(source.storage_options))

    def document(self, name: str) -> dict[str, Any] | None:
        """Returns the JSON object in the file ``name``; None if there is no such file."""
        data = self.content(name)
        if data is None:
            return None
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise JobError(f"{self.where}: {name} is not a JSON object", fix="save the model again, or copy it again")
        return content

    def content(self, name: str) -> bytes | None:
        """Returns the bytes of the file ``name``, which is not a weights file; None if there is no such file."""
        uri: str | None = join(self.uri, name)
        if is_hub(self.uri):
            uri = if_there(join(self.uri, name))
        if uri is None:
            return None
        with reading(f"{self.where}: {name}"):
            try:
                return self.storage.read(uri, max_bytes=_MAX_BYTES)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def weights(self) -> str:
        """Returns the URI of the weights, in safetensors if available; an index if they are in several files."""
        for name in _WEIGHTS:
            uri = join(self.uri, name)
            with reading(f"{self.where}: {name}"):
                is_there = if_there(uri) if is_hub(uri) else self.storage.kind(uri) == "file"
            if is_there:
                return uri
        raise JobError(
            f"{self.where}: holds none of {', '.join(_WEIGHTS)}", fix="save the model again, or set model.checkpoint"
        )

    def unknown(self) -> JobError:
        """Returns the error for a folder without a config.json."""
        with reading(self.where):
            seen = self.storage.kind(self.uri)
        problem = {None: "no such folder", "file": "is a file"}.get(seen, "holds no config.json")
        return JobError(
            f"{self.where}: {problem}",
            fix="give timm:NAME, torchvision:NAME, hf:REPO, or a folder that transformers, timm or jobs.export wrote; "
            "a single file is a model.checkpoint",
        )


_MAX_BYTES = 64 << 20  # a configuration with a million labels
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Models with an image and a text part, and the class that runs only the image part.
_IMAGE_PARTS = {
    "CLIPModel": "CLIPVisionModelWithProjection",
    "SiglipModel": "SiglipVisionModel",
    "Siglip2Model": "Siglip2VisionModel",
    "ChineseCLIPModel": "ChineseCLIPVisionModel",
    "AltCLIPModel": "AltCLIPVisionModel",
}


def _of_transformers(folder: Folder, config: dict[str, Any]) -> Record:
    saved_as = str(next(iter(config.get("architectures") or ()), ""))
    name = _IMAGE_PARTS.get(saved_as, saved_as)
    labels = _labels(config.get("id2label")) if name.endswith(_CLASSIFIER) else None
    processor = folder.document("preprocessor_config.json")
    if processor is None:
        # If a model also has a tokenizer, transformers 5 writes both into one file.
        processor = (folder.document("processor_config.json") or {}).get("image_processor")
    record = Record(
        architecture=f"transformers:{name}" if name else None,
        kwargs=settings(config),
        checkpoint=folder.weights(),
        labels=labels,
    )
    return record.prepared(from_transformers, processor) if processor else record


_CLASSIFIER = ("ForImageClassification", "ForObjectDetection", "ForSemanticSegmentation")


def _labels(id2label: Any) -> list[str] | None:
    if not isinstance(id2label, dict) or not all(str(key).isdecimal() for key in id2label):
        return None
    by_id = {int(key): str(label) for key, label in id2label.items()}
    return [by_id[number] for number in range(len(by_id))] if by_id.keys() == set(range(len(by_id))) else None


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the config of the network only, with the number of labels in place of their names."""
    kept = {
        key: settings(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in _NOT_OF_THE_NETWORK and not key.endswith(_OF_HUBS)
    }
    if isinstance(config.get("id2label"), dict):
        kept["num_labels"] = len(config["id2label"])
    return kept


# In a config.json: labels, and keys that do not describe the network.
_NOT_OF_THE_NETWORK = (
    "id2label",
    "label2id",
    "architectures",
    "transformers_version",
    "_name_or_path",
    "_commit_hash",
    "auto_map",
)
# Keys such as attn_implementation may name code on a hub, and use_pretrained_backbone fetches weights.
_OF_HUBS = ("_implementation", "use_pretrained_backbone")


def _of_timm(folder: Folder, config: dict[str, Any]) -> Record:
    # Before timm 0.9, config.json was the pretrained_cfg itself.
    cfg = {**config.get("pretrained_cfg", config)}
    cfg |= {key: config[key] for key in ("num_classes", "label_names", "label_descriptions") if config.get(key)}
    cfg.setdefault("label_names", cfg.pop("labels", None))
    given = config.get("model_args") or {}
    arguments = {key: value for key, value in given.items() if key not in _OF_THE_FACTORY}
    if isinstance(cfg.get("num_classes"), int) and cfg["num_classes"] >= 0:
        arguments.setdefault("num_classes", cfg["num_classes"])
    if cfg.get("fixed_input_size") and cfg.get("input_size"):
        arguments.setdefault("img_size", list(cfg["input_size"][1:]))
    return Record(
        architecture=f"timm:{config['architecture']}",
        kwargs=arguments,
        checkpoint=folder.weights(),
        labels=own_labels(cfg),
    ).prepared(from_timm, cfg)


# Arguments of timm.create_model that make it fetch or read other weights.
_OF_THE_FACTORY = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")
