"""Schemas that the files under conf/ are based on."""

from dataclasses import is_dataclass
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from actors.preprocess import Preprocess
from jobs.job import Job
from jobs.schemas import CONFIG_DIR, GROUPS, ROOTS, TOLD, register


def test_every_verb_and_group_has_a_schema() -> None:
    stored = ConfigStore.instance().repo
    for path in Path(CONFIG_DIR).glob("*.yaml"):
        register(path.stem)
    roots = [OmegaConf.get_type(stored[name].node) for name in stored if str(name).endswith("_schema.yaml")]
    assert set(ROOTS) == set(roots)
    for group, schemas in GROUPS.items():
        assert set(schemas) == {OmegaConf.get_type(one.node) for one in stored[group].values()}
        assert all(map(is_dataclass, schemas))


@pytest.mark.parametrize("key", TOLD)
def test_keys_that_a_source_may_tell_are_missing_in_the_schema_and_have_defaults_in_python(key: str) -> None:
    register("batch_infer")
    schema = ConfigStore.instance().repo["batch_infer_schema.yaml"].node.model
    parent, _, name = key.rpartition(".")
    assert OmegaConf.is_missing(OmegaConf.select(schema, parent) if parent else schema, name)
    assert parent != "preprocess" or getattr(Preprocess(), name) != "???"
    assert Job in ROOTS
