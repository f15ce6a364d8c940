"""Class names of a model, from a file or the config. Runs on the driver and once in each worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.messages import redacted
from actors.models.hub_files import on_this_machine
from actors.models.label_files import labels_in
from actors.models.model_files import file_name, reading
from actors.storage.store import Storage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.models.spec import Model


MAX_LABELS_BYTES = 64 << 20  # a million names; a path that leads to a checkpoint must not fill the memory


def read_labels(model: Model) -> list[str] | None:
    """The class names in order, or None if the model has none. Two classes may share a name.

    Raises:
        JobError: the file cannot be read, or an entry is not a name.
    """
    if model.labels is None:
        return None
    if isinstance(model.labels, str):
        where = redacted(f"model.labels={model.labels}")
        return _checked_labels(where, _names_in_file(model, where))
    if isinstance(model.labels, list):
        return _checked_labels("model.labels", model.labels)
    raise JobError(
        f"model.labels={model.labels}: neither a path nor a list",
        cure="give a file with one name a line, in JSON, YAML or CSV, or a list of names",
    )


def _names_in_file(model: Model, where: str) -> Iterable[object]:
    file = on_this_machine(model.labels)
    with reading(where):
        data = Storage(model.storage_options).read(file, max_bytes=MAX_LABELS_BYTES)
    try:
        text = data.decode("utf-8-sig")  # editors on Windows write a byte-order mark
    except UnicodeDecodeError as error:
        raise JobError(f"{where}: not UTF-8 text: {error}", cure="give a text file with one name a line") from None
    return labels_in(text, file_name(model.labels), where)


def _checked_labels(where: str, labels: Iterable[object]) -> list[str]:
    names = []
    for number, label in enumerate(labels, start=1):
        # YAML reads digits as numbers, which is harmless, and yes and no as booleans, which is not.
        if not isinstance(label, str | int) or isinstance(label, bool) or not str(label).strip():
            raise JobError(
                f"{where}: entry {number} is {label!r}, not a name",
                cure="give each class a name, in the order of the model's outputs; quote yes, no, on and off",
            )
        names.append(str(label).strip())
    if not names:
        raise JobError(f"{where}: is empty", cure="give one name for each class, or model.labels=null")
    return names
