"""Rejects overrides that are valid here but must not be submitted: relative paths and secrets. Runs on the client."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.messages import redacted
from actors.models.sources.base import Source
from actors.storage.uris import is_remote
from jobs.config import is_public

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def refuse_relative_paths(verb: str, content: dict[str, Any]) -> None:
    """Raises `JobError` for a relative path: on the cluster, it would be in a folder that is deleted with the job. An
    absolute path may be on a shared volume.
    """
    for key, path in _paths(verb, content):
        # An interpolation passes: it may name a variable that only the pods have.
        if not path.startswith(("/", "file://", "${")) and not is_remote(path):
            raise JobError(
                f"{key}={path}: a relative path, which on the cluster lies in a folder that is deleted with the job",
                fix=f"give {key} as a URI, or as an absolute path on a volume that all nodes share",
            )


def refuse_secrets(overrides: Sequence[str], content: dict[str, Any]) -> None:
    """Raises `JobError` for secrets: everyone who can reach the cluster can read its list of jobs."""
    for key in _secret_options(content):
        raise JobError(
            f"{key}: a secret, which everyone could read in the cluster's list of jobs",
            fix="set it in the environment of the cluster's pods, such as AWS_SECRET_ACCESS_KEY, or use their "
            f"identity; '{key}=${{oc.env:NAME}}' refers to a variable of the pods",
        )
    # Checks the text as typed: a URL with a password may appear in any key, or in a list.
    for override in overrides:
        if redacted(override) != override:
            raise JobError(
                f"{redacted(override)}: user, password and query of a URL, which everyone could read in the cluster's "
                "list of jobs",
                fix="give a URL without them, or put signed URLs into a file that +dataset=manifest reads",
            )


@contextmanager
def named_variables(overrides: Sequence[str]) -> Iterator[None]:
    """Temporarily defines the variables of the pods that storage options refer to."""
    names = {name for override in overrides if _OPTIONS.search(override) for name in _VARIABLE.findall(override)}
    # OmegaConf raises for a variable that is not set, and only the pods need to have it.
    missing = names - os.environ.keys()
    os.environ.update(dict.fromkeys(missing, "of the pods"))
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]


# Keys whose text is opened as a path on the cluster; a list of labels is not a path.
_PATHS = (
    "dataset.path",
    "model.source",
    "model.checkpoint",
    "model.labels",
    "task.prompts",
    "task.text_source",
    "output.path",
)
# Verbs with other paths: a benchmark writes to a scratch folder instead of output.path.
_PATHS_OF = {
    "benchmark": (*_PATHS[:-1], "benchmark.output", "benchmark.compare", "benchmark.scratch"),
    "export": (*_PATHS[:-1], "export.path"),
    "evaluate": (*_PATHS, "evaluate.annotations", "evaluate.results_file"),
    "follow": (*_PATHS, "evaluate.annotations", "checkpoints.path"),
    "compare": ("a", "b", "output.path", "compare.path"),
    "replay": ("output.path", "replay.path", "replay.token_file"),
    "convert": ("output.path", "convert.path", "convert.annotations"),
    "report": ("output.path",),
}
_OPTION_KEYS = (
    *((group, "storage_options") for group in ("dataset", "model", "output")),
    ("replay", "image_storage_options"),
)
_OPTIONS = re.compile(r"storage_options\b")
_VARIABLE = re.compile(r"\$\{oc\.env:(\w+)\}")  # without a default, which would be a secret in plain text


def _paths(verb: str, content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key in _PATHS_OF.get(verb, _PATHS):
        group, _, name = key.rpartition(".")
        value = (_node(content, group) if group else content).get(name)
        if isinstance(value, str) and _is_path(key, value):
            yield key, value
        elif key == "dataset.path":
            yield from ((key, path) for path in value or [])


def _node(content: dict[str, Any], group: str) -> dict[str, Any]:
    """Returns a node of the config; empty if the verb has no such node or it is not given."""
    node = content.get(group)
    return node if isinstance(node, dict) else {}


def _is_path(key: str, value: str) -> bool:
    """Returns False for the name of a model or run, and for a key that the cluster fills from it."""
    if key in ("a", "b") and "/" not in value:
        return False
    return value not in ("", "???") and not (key in ("model.source", "task.text_source") and Source(value).library)


def _secret_options(content: dict[str, Any]) -> Iterator[str]:
    # Unknown options count as secrets: `is_public` lists the few that never hold one.
    for group, key in _OPTION_KEYS:
        for name, value in (_node(content, group).get(key) or {}).items():
            if not is_public(name) and not _VARIABLE.fullmatch(str(value)):
                yield f"{group}.{key}.{name}"
