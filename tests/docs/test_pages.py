"""The documentation pages: links resolve, named paths exist, and commands compose."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

import pytest
from rules import TIERS

from jobs.cli.overrides import as_typed
from jobs.config import VERBS, compose_config, compose_serving, to_object
from jobs.replaying.config import ReplayJob
from jobs.schemas import compose_verb

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), *ROOT.glob("k8s/*.md")]
FILES = (".json", ".yaml", ".onnx", ".onnx.data", ".pt2", ".safetensors", ".xml", ".py")
TOPICS = (
    "getting-started configuration datasets decoding models engines export outputs reliability cluster extending "
    "pitfalls glossary"
)
REQUIRED = ("dataset.path=photos", "model.checkpoint=weights.pt", "output.path=predictions")
# Placeholders for a user's own values or omitted keys in the commands of a page.
PLACEHOLDERS = {"KEY=VALUE", "...", "…", "VERB", "N", "DIR"}
NUMBERS = {"=N": "=2", "=i": "=0", "=RUN": "=a-run", "=HEX": f"={'0' * 64}"}


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Returns GitHub's anchors for the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_between_pages_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_paths_that_are_named_are_there(page: Path) -> None:
    paths = re.findall(r"(?<![\w/])(?:jobs|actors|tests|conf|docs|k8s)/[\w/-]+(?:\.\w+)?", page.read_text("utf-8"))
    missing = [path for path in paths if "NAME" not in path and not list(ROOT.glob(f"{path.rstrip('/')}*"))]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_keys_that_are_named_are_in_the_reference(page: Path) -> None:
    reference = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| `([\w.]+)` \|", reference, re.MULTILINE))
    nodes = {key[: match.start()] for key in known for match in re.finditer(r"\.", key)}
    roots = "|".join(sorted({node.partition(".")[0] for node in nodes}))
    keys = re.findall(rf"`'?\+?((?:{roots})\.\w[\w.]*)(?==|`|\.\*)", page.read_text(encoding="utf-8"))
    unknown = [key for key in keys if key.rstrip(".") not in known | nodes and key.rpartition(".")[0] not in known]
    assert [key for key in unknown if not key.endswith(FILES)] == []


def commands(verbs: Collection[str] = VERBS) -> list[tuple[str, str]]:
    """Returns every command of ``verbs`` with its arguments."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for verb, arguments in re.findall(
            r"(?:python -m jobs\.|shardlens )([\w-]+)((?: +[^\s`|]+=[^\s`|]+| +…| +\.\.\.)+)", text
        ):
            # Options other than a dry run need more than the config: a user's folder or a terminal.
            if (name := verb.replace("-", "_")) in verbs and " --" not in arguments.replace(" --dry-run", ""):
                found.append((name, arguments.strip()))
    return sorted(set(found))


@pytest.mark.parametrize(("verb", "arguments"), commands())
def test_commands_compose(verb: str, arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_URL", "https://hooks.example")
    words = [word for word in shlex.split(arguments) if word not in PLACEHOLDERS]
    for placeholder, value in NUMBERS.items():
        words = [re.sub(rf"{placeholder}$", value, word) for word in words]
    given = {word.partition("=")[0] for word in words}
    if verb not in ("verify", "convert", "report", "compare", "replay"):
        dataset = [] if "+dataset" in given else ["+dataset=images"]
        words = [*dataset, *words, *(word for word in REQUIRED if word.partition("=")[0] not in given)]
    assert compose_config(verb, as_typed(words)).wanted is not None


def test_commands_of_an_endpoint_compose() -> None:
    found = commands(["serve", "replay"])
    assert {verb for verb, _ in found} == {"serve", "replay"}
    for verb, arguments in found:
        words = as_typed([word for word in shlex.split(arguments) if not word.endswith(("=…", "=NEW"))])
        if verb == "serve":
            assert compose_serving([*words, "model=digits"]).serve is not None
        else:
            assert to_object(compose_verb("replay", words), ReplayJob).replay is not None


def test_there_are_commands_of_each_kind() -> None:
    assert {verb for verb, _ in commands()} == set(VERBS)


def test_every_topic_has_a_page_that_the_readme_links() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for topic in [*TOPICS.split(), "figures", "architecture"]:
        assert f"(docs/{topic}.md)" in readme


def test_the_architecture_lists_the_tiers_of_imports() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = [set(re.findall(r"`([\w.]+)`", row)) for row in re.findall(r"^\| \d+ \| (.*) \|$", page, re.MULTILINE)]
    assert listed == [{room for room in tier if exists(room)} for tier in TIERS]


def test_every_arrow_of_the_diagram_is_an_import() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", page, re.DOTALL)
    chains = [re.sub(r"\[.*?\]", "", line).split("-->") for line in diagram.splitlines() if "-->" in line]
    arrows = {(start.strip(), end.strip()) for chain in chains for start, end in pairwise(chain)}
    sides = {path.relative_to(ROOT).with_suffix("").parts[1]: side for side in SIDES for path in side.iterdir()}
    assert len(arrows) > 20
    for start, end in arrows:
        if start != "verbs":
            sources = [file.read_text("utf-8") for file in modules(sides[start] / start)]
            assert any(f"from {sides[end].name}.{end}" in source for source in sources), (start, end)


SIDES = (ROOT / "actors", ROOT / "jobs")


def modules(room: Path) -> list[Path]:
    return [*room.rglob("*.py")] if room.is_dir() else [room.with_suffix(".py")]


def exists(module: str) -> bool:
    place = ROOT / module.replace(".", "/")
    return place.is_dir() or place.with_suffix(".py").exists()
