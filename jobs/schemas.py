"""Registers the dataclasses of all components as Hydra's schemas, and composes configs. Runs on the driver."""

from __future__ import annotations

import copyreg
from dataclasses import fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from actors.engines.configs import AutoEngineConfig, OnnxEngineConfig, OpenVinoEngineConfig, TorchEngineConfig
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.tasks.classify import Classify
from actors.tasks.detect import Detect
from actors.tasks.embed import Embed
from actors.tasks.raw import Raw
from actors.tasks.regress import Regress
from actors.tasks.segment import Segment
from actors.tasks.zero_shot import ZeroShot
from jobs.benchmarking.config import BenchmarkJob
from jobs.browsing.config import Browsing
from jobs.bundling.config import ExportJob
from jobs.cluster.config import Cluster
from jobs.comparison.config import Comparison
from jobs.conversion.config import Conversion
from jobs.datasets.images import ImagesDataset
from jobs.datasets.manifest import ManifestDataset
from jobs.datasets.parquet import ParquetDataset
from jobs.datasets.webdataset import WebDataset
from jobs.evaluating.config import EvaluationJob
from jobs.following.config import FollowJob
from jobs.job import Job, Output
from jobs.pages.config import Reporting
from jobs.replaying.config import ReplayJob
from jobs.runs.config import RunList
from jobs.serving.config import ServeJob
from jobs.submission.config import Submission
from jobs.verification.config import Verification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

CONFIG_DIR = str(Path(__file__).parents[1] / "conf")
"""Folder of the YAML files; a path rather than a package, because a user's own package may have the same name."""


def compose_verb(verb: str, overrides: Sequence[str]) -> DictConfig:
    """Composes the config of ``verb``. Raises HydraException and OmegaConfBaseException."""
    register(verb)
    with initialize_config_dir(CONFIG_DIR, version_base="1.3"):
        return compose(verb, overrides=list(overrides))


@cache
def register(verb: str) -> None:
    """Registers the schemas that ``conf/VERB.yaml`` and the groups start from; those of all verbs would take 0.15 s."""
    _register_groups()
    ConfigStore.instance().store(f"{verb}_schema", _schema(_ROOT_SCHEMAS[verb]))


@cache
def _register_groups() -> None:
    """Registers the schemas of the groups, and ``${package:actors.sample/file}``, which resolves to the path of a file
    in a package.
    """
    OmegaConf.register_new_resolver("package", _packaged, replace=True)
    store = ConfigStore.instance()
    # Copying the singleton store returns the store itself: Hydra copies it on each composition, and 84 times for
    # --help.
    copyreg.pickle(ConfigStore, lambda _: (ConfigStore.instance, ()))
    for group, name, schema in _SCHEMAS:
        store.store(f"{name}_schema", _schema(schema), group=group)


def _schema(config: type) -> DictConfig:
    """Returns Hydra's schema of ``config``, with the keys that a model's source may supply marked as missing."""
    node: DictConfig = OmegaConf.structured(config)
    # The classes do not use `MISSING`: Python callers would get the string "???" instead of a default.
    for key in (
        TOLD if config is Model else [f"model.{key}" for key in TOLD] if issubclass(config, Job | ServeJob) else ()
    ):
        OmegaConf.update(node, key, MISSING)
    for key in ("evaluate.fail_under", "evaluate.fail_over") if issubclass(config, EvaluationJob) else ():
        OmegaConf.set_struct(OmegaConf.select(node, key), False)  # new entries need no plus sign
    return node


def _packaged(place: str) -> str:
    package, _, name = place.partition("/")
    return str(files(package) / name)


# Keys of ``model`` that its source may supply. The first has no default.
TOLD = ("checkpoint", "architecture", "labels", *(f"preprocess.{key.name}" for key in fields(Preprocess)))
_SCHEMAS: tuple[tuple[str, str, type], ...] = (
    ("dataset", "images", ImagesDataset),
    ("dataset", "manifest", ManifestDataset),
    ("dataset", "parquet", ParquetDataset),
    ("dataset", "webdataset", WebDataset),
    ("model", "model", Model),
    ("engine", "auto", AutoEngineConfig),
    ("engine", "torch", TorchEngineConfig),
    ("engine", "onnxruntime", OnnxEngineConfig),
    ("engine", "openvino", OpenVinoEngineConfig),
    ("task", "classify", Classify),
    ("task", "detect", Detect),
    ("task", "embed", Embed),
    ("task", "raw", Raw),
    ("task", "regress", Regress),
    ("task", "segment", Segment),
    ("task", "zero_shot", ZeroShot),
    ("output", "output", Output),
    ("cluster", "cluster", Cluster),
)
_ROOT_SCHEMAS: dict[str, type] = {
    "batch_infer": Job,
    "benchmark": BenchmarkJob,
    "browse": Browsing,
    "compare": Comparison,
    "convert": Conversion,
    "evaluate": EvaluationJob,
    "export": ExportJob,
    "follow": FollowJob,
    "replay": ReplayJob,
    "report": Reporting,
    "runs": RunList,
    "serve": ServeJob,
    "submit": Submission,
    "verify": Verification,
}
ROOTS = tuple(_ROOT_SCHEMAS.values())
"""Config classes of all verbs."""
GROUPS = {group: tuple(schema for own, _, schema in _SCHEMAS if own == group) for group, _, _ in _SCHEMAS}
"""Config groups, the folders under conf/, each with its schemas."""
