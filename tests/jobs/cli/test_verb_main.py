"""A verb's config, composed from its command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from jobs.cli.verb_main import verb_main

KEYS = ("output.path=out", "run.id=20260101-000000-abcd")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # Hydra writes the config of a sweep


def configs_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[DictConfig]:
    seen: list[DictConfig] = []

    @verb_main("verify")
    def main(config: DictConfig) -> None:
        OmegaConf.resolve(config)
        seen.append(config)

    monkeypatch.setattr(sys, "argv", ["jobs.verify", *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # as `run_verb` does
    main()
    return seen


def test_hydra_composes_the_same_config(monkeypatch: pytest.MonkeyPatch) -> None:
    [ours] = configs_of(monkeypatch, *KEYS)
    [hydras] = configs_of(monkeypatch, *KEYS, "--run")
    assert ours == hydras
    assert OmegaConf.get_type(ours) is OmegaConf.get_type(hydras)
    assert OmegaConf.is_struct(ours) == OmegaConf.is_struct(hydras)


def test_a_sweep_is_hydras(monkeypatch: pytest.MonkeyPatch) -> None:
    swept = configs_of(monkeypatch, "--multirun", "output.path=a,b", KEYS[1])
    assert [config.output.path for config in swept] == ["a", "b"]


def test_values_of_hydra_itself_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    [config] = configs_of(monkeypatch, "output.path=${hydra:job.config_name}", KEYS[1])
    assert config.output.path == "verify"


@pytest.mark.parametrize("option", [(), ("--run",)])
def test_a_wrong_key_raises_as_in_hydra(monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...]) -> None:
    with pytest.raises(HydraException, match=r"Could not override 'output\.pth'"):
        configs_of(monkeypatch, *KEYS, "output.pth=x", *option)
