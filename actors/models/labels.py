"""Class names of a model, from a file or the config. Runs on the driver and once in each worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.messages import redacted
from actors.models.hub_files import on_this_machine
from actors.models.label_files import labels_in
from actors.models.model_files import file_name, reading
from actors.storage.store import Storage
from actors.storage.uris import absolute

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.models.spec import Model


MAX_LABELS_BYTES = 64 << 20  # a million names; a path to a checkpoint must not fill memory


def read_labels(model: Model) -> list[str] | None:
    """Returns the class names in order, or None if the model has none. Two classes may share a name.

    Raises:
        JobError: the file cannot be read, or an entry is not a name.
    """
    return read_names(model.labels, "model.labels", model.storage_options)


def read_names(given: Any, key: str, storage_options: dict[str, str]) -> list[str] | None:
    """Returns the names that ``given``, the value of a config key, specifies: a list, or the path or URI of a file in a
    store with these options; None for None. Raises like `read_labels`.
    """
    if given is None:
        return None
    if isinstance(given, str):
        where = redacted(f"{key}={given}")
        return _checked_labels(where, _names_in_file(given, where, storage_options))
    if isinstance(given, list):
        return _checked_labels(key, given)
    raise JobError(
        f"{key}={given}: neither a path nor a list",
        fix="give a file with one name per line, in JSON, YAML or CSV, or a list of names",
    )


def _names_in_file(uri: str, where: str, storage_options: dict[str, str]) -> Iterable[object]:
    file = on_this_machine(absolute(uri))
    with reading(where):
        data = Storage(storage_options).read(file, max_bytes=MAX_LABELS_BYTES)
    try:
        text = data.decode("utf-8-sig")  # editors on Windows write a byte-order mark
    except UnicodeDecodeError as error:
        raise JobError(f"{where}: not UTF-8 text: {error}", fix="give a text file with one name per line") from None
    return labels_in(text, file_name(uri), where)


def _checked_labels(where: str, labels: Iterable[object]) -> list[str]:
    names = []
    for number, label in enumerate(labels, start=1):
        # YAML parses digits as numbers, which is harmless, and yes and no as booleans, which is not.
        if not isinstance(label, str | int) or isinstance(label, bool) or not str(label).strip():
            raise JobError(
                f"{where}: entry {number} is {label!r}, not a name",
                fix="give each class a name, in the order of the model's outputs; quote yes, no, on and off",
            )
        names.append(str(label).strip())
    if not names:
        raise JobError(f"{where}: is empty", fix="give one name for each class, or model.labels=null")
    return names
