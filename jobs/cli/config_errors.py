"""Errors of Hydra and OmegaConf about a wrong config, translated to a `JobError`: key, value and fix. Runs on the
driver.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from actors.errors import JobError
from jobs.cli.familiar_words import FIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG_ERRORS = (HydraException, OmegaConfBaseException)


def explain(error: Exception) -> JobError:
    """Translates an error of `CONFIG_ERRORS` to its first problem and the fix."""
    if isinstance(error, MissingConfigException):
        return _unknown_choice(str(error))
    # Hydra wraps what OmegaConf raises; its own message has the override, the cause has key and type.
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, InterpolationResolutionError):
        return _unresolved(cause)
    if isinstance(cause, MissingMandatoryValue):
        return _missing(cause)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _unknown_key(cause, _override(str(error), cause.full_key))
    if isinstance(cause, ValidationError):
        return _wrong_value(cause, _override(str(error), cause.full_key))
    return _other(str(error))


def unknown_key(full_key: str, names: Sequence[str], *, override: str | None = None) -> JobError:
    """Error for a key that no schema knows; ``names`` are the keys of its parent."""
    if full_key in FIXES:
        return JobError(f"{override or full_key}: there is no such key", fix=FIXES[full_key])
    parent, _, key = full_key.rpartition(".")
    close = get_close_matches(key, names, n=1)
    prefix = f"{parent}." if parent else ""
    fix = f"did you mean {prefix}{close[0]}? " if close else ""
    return JobError(
        f"{override or full_key}: there is no such key", fix=f"{fix}{parent or 'The job'} has {', '.join(names)}"
    )


_PLUS = "select a dataset with a plus sign: +dataset=NAME, such as +dataset=sample"


def _missing(error: MissingMandatoryValue) -> JobError:
    key = error.full_key or ""
    fix = _PLUS if key == "dataset" else f"add {key}=VALUE to the command; --help shows every key"
    if key == "model.checkpoint":
        fix = f"{fix}; or set model.source to load a whole model"
    return JobError(f"{key}: not given", fix=fix)


def _unresolved(error: InterpolationResolutionError) -> JobError:
    reason = str(error).splitlines()[0]
    if variable := re.search(r"Environment variable '([^']*)' not found", reason):
        return JobError(
            f"{error.full_key}: the environment variable {variable[1]} is not set",
            fix=f"export {variable[1]}=VALUE before the command, or give a default: ${{oc.env:{variable[1]},VALUE}}",
        )
    return JobError(
        f"{error.full_key}: {reason[:1].lower()}{reason[1:]}",
        fix=r"refer to a key that has a value, or write \${ for a literal ${",
    )


# Hydra 1.3 names the missing choice and the available ones in the text of the exception alone.
def _unknown_choice(message: str) -> JobError:
    choice = re.search(r"Could not find '([^']*)'", message)
    group, _, name = (choice.group(1) if choice else "").rpartition("/")
    listed = message.partition("Available options in")[2].partition("Config search path")[0].splitlines()[1:]
    # The schemas are in the same groups as the files of conf/, but are no choices.
    options = sorted(line.strip() for line in listed if line.strip() and not line.strip().endswith("_schema"))
    own = f"; for your own, add DIR/{group}/{name}.yaml and --config-dir=DIR"
    return JobError(f"{group}={name}: there is no such choice", fix=f"choose one of {', '.join(options)}{own}")


def _unknown_key(error: OmegaConfBaseException, override: str) -> JobError:
    # A mapping such as model.kwargs, which Hydra extends only with a plus.
    if isinstance(error.object_type, type) and issubclass(error.object_type, dict):
        return JobError(f"{override}: a new entry", fix=f"add a plus sign: +{override}")
    return unknown_key(error.full_key or "", _field_names(error.object_type), override=override)


def _wrong_value(error: OmegaConfBaseException, override: str) -> JobError:
    reason = str(error).splitlines()[0]  # the others repeat the key and name Python types
    return JobError(
        f"{override}: {reason[:1].lower()}{reason[1:]}", fix=f"set {error.full_key} to a value of that type"
    )


def _other(message: str) -> JobError:
    # Without Hydra's links, which explain its grammar and not this project's keys.
    lines = [line.strip() for line in message.splitlines() if line.strip() and "hydra.cc" not in line]
    if folder := re.search(r"Additional config directory '(.*)' not found", lines[0]):
        return JobError(
            f"--config-dir={folder[1]}: there is no such folder",
            fix="give the folder that contains the group folders: +dataset=photos is DIR/dataset/photos.yaml",
        )
    if "No match in the defaults list" in message or "To append to your default list" in message:
        return JobError(lines[0], fix=_PLUS if "'dataset'" in lines[0] else lines[-1])
    return JobError("; ".join(lines[:3]), fix=_as_one_value(lines[0]) or "write overrides as key=value")


def _as_one_value(message: str) -> str | None:
    """Fix that quotes the override in ``message``, so that shell and Hydra read its value literally."""
    found = re.search(r"(?:argument|parameters|override|Exception:) '?([+\w.]+)=(.*?)(?:'|$)", message)
    if found is None:
        return None
    typed = shlex.quote(f"{found[1]}={quoted(found[2])}")
    return f"type {typed} for one value; several, a job each, take --multirun"


def quoted(value: str) -> str:
    """Quotes ``value`` for Hydra."""
    return str(QuotedString(text=value, quote=Quote.double).with_quotes())


def _override(message: str, full_key: str | None) -> str:
    """Override as the user wrote it, if Hydra's message has it; otherwise the key."""
    # The plus is Hydra's advice, which adds the key to the config; the schema would then refuse it.
    for pattern in (r"To append to your config use \+(.+)", r"Error merging override (.+)"):
        found = re.search(pattern, message)
        if found:
            return found.group(1).strip().lstrip("+")
    return full_key or ""


def _field_names(object_type: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(object_type)] if dataclasses.is_dataclass(object_type) else []
