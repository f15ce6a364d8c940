from __future__ import annotations

import subprocess

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf.errors import OmegaConfBaseException

from jobs.cli.config_errors import explain
from jobs.config import to_job
from jobs.schemas import compose_verb


def mistake(*overrides: str) -> str:
    with pytest.raises((HydraException, OmegaConfBaseException)) as caught:
        to_job(compose_verb("batch_infer", list(overrides)))
    return str(explain(caught.value))


IMAGES = ("+dataset=images", "dataset.path=x", "model.checkpoint=y")


@pytest.mark.parametrize(
    ("overrides", "problem", "fix"),
    [
        ((*IMAGES, "dataset.pth=3"), "dataset.pth=3: there is no such key", "did you mean dataset.path?"),
        ((*IMAGES, "bacth_size=3"), "bacth_size=3: there is no such key", "did you mean batch_size?"),
        ((*IMAGES, "dataset.uri_column=3"), "dataset.uri_column=3: there is no such key", "dataset has "),
        ((*IMAGES, "engine.precision=fp17"), "engine.precision=fp17", "expected one of [auto, fp32"),
        ((*IMAGES, "task.top_k=many"), "task.top_k=many", "Integer"),
        ((*IMAGES, "batch_size=[1]"), "batch_size=[1]", "batch_size"),
        (
            (*IMAGES, "task=clasify"),
            "task=clasify: there is no such choice",
            "classify, detect, embed, raw, regress, segment, zero_shot",
        ),
        (("+dataset=imgs",), "dataset=imgs: there is no such choice", "images, manifest, parquet, sample, webdataset"),
        (("dataset=images",), "dataset", "+dataset"),
        ((), "dataset: not given", "+dataset=sample"),
        (("+dataset=images", "dataset.path=x"), "model.checkpoint: not given", "model.checkpoint=VALUE"),
        (("+dataset=images", "model.checkpoint=x"), "dataset.path: not given", "dataset.path=VALUE"),
        ((*IMAGES, "model.kwargs.x=3"), "model.kwargs.x=3", "+model.kwargs.x=3"),
        ((*IMAGES, "verbose"), "verbose", "key=value"),
        (
            ("+dataset=images", "model.checkpoint=y", "dataset.path=${oc.env:NOT_SET}/x"),
            "dataset.path: the environment variable NOT_SET is not set",
            "export NOT_SET=VALUE before the command, or give a default: ${oc.env:NOT_SET,VALUE}",
        ),
        (("+dataset=mine",), "dataset=mine: there is no such choice", "DIR/dataset/mine.yaml and --config-dir=DIR"),
    ],
)
def test_key_value_and_fix_are_named_in_a_few_lines(overrides: tuple[str, ...], problem: str, fix: str) -> None:
    message = mistake(*overrides)
    assert problem in message
    assert fix in message
    assert len(message.splitlines()) <= 3


def test_a_folder_of_choices_that_is_not_there() -> None:
    error = ConfigCompositionException("Additional config directory '/nope' not found")
    assert str(explain(error)).startswith(
        "--config-dir=/nope: there is no such folder\n  fix: give the folder that contains"
    )


@pytest.mark.parametrize(
    ("key", "value"), [("dataset.path", "choice(a,b)"), ("dataset.path", "/data/日本 #1"), ("task.top_k", "1,2")]
)
def test_the_fix_for_a_value_works_when_it_is_typed(key: str, value: str) -> None:
    said = mistake(*IMAGES, f"{key}={value}")
    typed = said.partition("fix: type ")[2].partition(" for one value")[0]
    shell = subprocess.run(["bash", "-c", f"printf %s {typed}"], capture_output=True, text=True, check=True)
    parsed = OverridesParser.create().parse_override(shell.stdout)
    assert (parsed.key_or_group, parsed.value()) == (key, value)
