"""``--help`` of each verb fits on a screen and names only keys and choices that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from jobs.cli.overrides import _hints
from jobs.schemas import CONFIG_DIR, register

ROOT = Path(CONFIG_DIR)
VERBS = sorted(path.stem for path in ROOT.glob("*.yaml") if path.stem != "submit")  # which has its own text
MAX_LINES, MAX_COLUMNS = 40, 80


def template_of(verb: str, *overrides: str) -> str:
    register(verb)
    with initialize_config_dir(CONFIG_DIR, version_base="1.3"):
        config = compose(verb, overrides=list(overrides), return_hydra_config=True)
    return str(config.hydra.help.template)


@pytest.mark.parametrize("verb", VERBS)
def test_the_short_help_fits_a_screen_and_is_true(verb: str) -> None:
    text = template_of(verb)
    lines = text.splitlines()
    assert max(map(len, lines)) <= MAX_COLUMNS
    if "$CONFIG" in text:  # few keys, all shown
        return
    assert len(lines) <= MAX_LINES
    keys = re.findall(r"(?<![\w.+-])([a-z_]+(?:\.[a-z_]+)+)", re.sub(r"jobs\.\w+|\w+/\S+", "", text))
    named = re.findall(r"^ +([a-z_.]+)=", text, re.MULTILINE)
    groups = dict(re.findall(r"^ +\+?([a-z]+)= +([a-z0-9_, ]+)$", text, re.MULTILINE))
    assert len(keys) > 8
    unknown = [key for key in [*keys, *named] if key not in groups and not _hints(key)]
    assert [key for key in unknown if not key.startswith("evaluate.fail_under")] == []
    for group, listed in groups.items():
        assert listed.split(", ") == sorted(path.stem for path in (ROOT / group).glob("*.yaml"))


@pytest.mark.parametrize("verb", VERBS)
def test_all_keys_are_an_override_away(verb: str) -> None:
    assert "$CONFIG" in template_of(verb, "hydra/help=whole")


def test_every_verb_reads_our_files_whatever_packages_the_user_has() -> None:
    modules = {path.name: path.read_text() for path in (ROOT.parent / "jobs").rglob("*.py")}
    assert modules
    by_package = [name for name, text in modules.items() if "pkg://" in text]
    assert by_package == [], "compose with CONFIG_DIR, of jobs.schemas: a user's own package may be called conf"
