"""Cache of engine choices and their trials. Stored with the output, so that the next run of the same model on the same
hardware skips the trials, and on this node for other outputs of the same images. Runs on the driver.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.disk_cache import CHOICES, find, keep
from actors.engines.configs import ENGINE_CONFIGS, Device, EngineConfig, Gate, Precision, Provider
from actors.errors import JobError
from actors.messages import writing_to
from actors.storage.json_documents import parse_object, read_object
from actors.storage.uris import join
from actors.trials.comparison import Trial
from actors.trials.decode_trial import DecodeTrial
from jobs.planning.calibration import Calibration

if TYPE_CHECKING:
    from pathlib import Path

    from actors.engines.hardware import Hardware
    from actors.storage.store import Storage
    from actors.writing.run_paths import RunPaths
    from jobs.planning.planner import Plan

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Choice:
    """Engine of a run, and the measurements behind the choice."""

    engine: EngineConfig
    why: str
    trials: list[Trial] = field(default_factory=list)
    """Trials, the reference first. Empty if nothing was measured."""
    num_images: int = 0
    """Number of images of the dataset that were compared."""
    calibration: Calibration | None = None
    """None if the job is too small for calibration."""
    decoders: DecodeTrial | None = None
    """None if there was no choice of decoder."""
    missing: str = ""
    """Package of a faster engine that the workers lack; not cached."""
    int8_graph: bytes | None = field(default=None, repr=False)
    """The quantised network that the engine runs; cached separately by `jobs.planning.kept_graph`."""

    @property
    def image_s(self) -> float | None:
        """Measured seconds per image of the model; None without a trial of the chosen engine."""
        rates = [
            trial.images_per_s for trial in self.trials if trial.engine == self.engine.label and trial.images_per_s
        ]
        return 1 / rates[0] if rates else None

    def to_json(self) -> dict[str, Any]:
        plain = asdict(replace(self, int8_graph=None)) | {"engine": _to_json(self.engine)}
        return {name: value for name, value in plain.items() if name != "int8_graph"}


@dataclass(frozen=True)
class KeptChoice:
    """Cache entry for one model, engine config and hardware.

    Args:
        paths: paths of the run; all runs of the same output and model share the entry.
        storage: storage of the output.
        asked: engine settings of the config, with batch size and threads.
        hardware: hardware of the workers.
        inventory_digest: digest of the images; empty for a job whose workers are on other nodes.
    """

    paths: RunPaths
    storage: Storage
    asked: str
    hardware: Hardware
    inventory_digest: str = ""

    def read(self) -> Choice | None:
        """Returns the cached choice; None if there is none, or, with a warning, if this version cannot parse it."""
        try:
            return _to_choice(read_object(self._uri, self.storage, allow_nan=True))
        except FileNotFoundError:
            return None
        except _DAMAGED as error:
            LOG.warning("%s: cannot be parsed (%s); comparing engines again", self._uri, error)
            return None

    def write(self, choice: Choice) -> None:
        about = {"asked": self.asked, "hardware": asdict(self.hardware)}
        text = json.dumps(choice.to_json() | about, indent=1)
        with writing_to(self._uri):
            self.storage.write(self._uri, text.encode())
        if self.inventory_digest and choice.engine.precision is not Precision.int8:  # its graph is in the output
            key = _node_key(self.paths.fingerprint, self.inventory_digest, self.hardware)
            with suppress(JobError):  # no cache: only this output has the choice
                keep(key, partial(_write, text), lambda folder: (folder / _FILE).read_text() == text, kind=CHOICES)

    def read_node(self) -> Choice | None:
        """Returns the choice of the latest job on this node with the same images, model and settings, if any."""
        with suppress(*_DAMAGED):
            content = node_entry(self.paths.fingerprint, self.inventory_digest, self.hardware)
            return _to_choice(content) if content and content["asked"] == self.asked else None
        return None

    @property
    def _uri(self) -> str:
        key = hashlib.sha256(json.dumps([self.asked, asdict(self.hardware)]).encode()).hexdigest()[:12]
        return join(self.paths.root, _FOLDER, f"{self.paths.fingerprint}-{key}.json")


def node_entry(fingerprint: str, inventory_digest: str, hardware: Hardware) -> dict[str, Any] | None:
    """Returns what `KeptChoice.write` has stored on this node for a model and the images of an inventory; None if there
    is nothing.
    """
    if folder := find(_node_key(fingerprint, inventory_digest, hardware), lambda _: True, kind=CHOICES):
        with suppress(OSError, ValueError):  # pruned in the meantime, or written by another version
            return parse_object((folder / _FILE).read_bytes(), allow_nan=True)
    return None


def _node_key(*about: object) -> str:
    return hashlib.sha256(repr(about).encode()).hexdigest()


def _write(text: str, folder: Path) -> None:
    (folder / _FILE).write_text(text)


_FILE = "choice.json"


def known_choice(root: str, fingerprint: str, hardware: Hardware, storage: Storage) -> Choice | None:
    """The choice that most images stand behind, among those of jobs with the output ``root`` for a model on this
    hardware, whatever else they asked for; None if there is none without a quantised network.
    """
    here, found = json.loads(json.dumps(asdict(hardware))), []
    for uri in _entries(join(root, _FOLDER), fingerprint, storage):
        with suppress(*_DAMAGED):
            content = read_object(uri, storage, allow_nan=True)
            if content["hardware"] == here:
                found.append(_to_choice(content))
    measured = [one for one in found if one.trials and one.engine.precision is not Precision.int8]
    return max(measured, key=lambda one: one.num_images, default=None)


def _entries(folder: str, fingerprint: str, storage: Storage) -> list[str]:
    try:
        uris = [uri for batch in storage.list(folder) for uri in batch["uri"].to_pylist()]
    except FileNotFoundError:
        return []
    prefix = join(folder, f"{fingerprint}-")
    return sorted(uri for uri in uris if uri.startswith(prefix) and uri.endswith(".json"))


def choice_key(config: EngineConfig, plan: Plan, graph: bytes | None = None) -> str:
    """Returns the settings on which the choice depends, as JSON."""
    is_strict = config.gate is Gate.stop  # an engine accepted with a warning would not pass
    about = [config.label, config.device.value, str(config.tolerance), is_strict, plan.batch_size, config.threads]
    return json.dumps(about if graph is None else [*about, hashlib.sha256(graph).hexdigest()])


_FOLDER = "_engines"
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError)
_TRIAL_FIELDS = [field.name for field in fields(Trial)]  # earlier versions stored more
_ENUMS: dict[str, type[Enum]] = {"precision": Precision, "device": Device, "provider": Provider}
_NOT_KEPT = {"tolerance", "gate"}  # settings of the comparison, not needed by the worker


def _to_json(config: EngineConfig) -> dict[str, Any]:
    plain = {name: value.value if isinstance(value, Enum) else value for name, value in vars(config).items()}
    return {name: value for name, value in plain.items() if name not in _NOT_KEPT}


def _to_choice(content: dict[str, Any]) -> Choice:
    trials = [Trial(**{name: one[name] for name in _TRIAL_FIELDS}) for one in content["trials"]]
    calibration = Calibration.from_json(content["calibration"])
    decoders = DecodeTrial(**content["decoders"]) if content["decoders"] else None
    return Choice(_to_config(content["engine"]), content["why"], trials, content["num_images"], calibration, decoders)


def _to_config(content: dict[str, Any]) -> EngineConfig:
    values: dict[str, Any] = {name: _ENUMS[name](value) if name in _ENUMS else value for name, value in content.items()}
    return ENGINE_CONFIGS[values.pop("name")](**values)
