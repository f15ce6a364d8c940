"""Compares the labels of a dataset with those of the model. Runs on the driver, while the dataset is listed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from unicodedata import normalize

import pyarrow.compute as pc

from actors.columns import TARGET

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

LOG = logging.getLogger("shardlens")


def warn_of_strangers(entries: Iterator[pa.Table], labels: Sequence[str] | None) -> Iterator[pa.Table]:
    """Yields ``entries`` unchanged. Warns at the end if no target is one of ``labels`` or a class index: the accuracy
    would then be 0.
    """
    # Folder names from macOS may have decomposed accents (NFD), unlike text files. Case matters.
    known = {normalize("NFC", label) for label in labels or ()}
    strangers: list[str] = []
    is_known = False
    for table in entries:
        if TARGET in table.column_names and not is_known:
            targets = pc.drop_null(pc.unique(table[TARGET])).to_pylist()
            is_known = any(target.isdecimal() or normalize("NFC", target) in known for target in targets)
            strangers = (strangers + targets)[:_NUM_EXAMPLES]
        yield table
    if strangers and not is_known:
        of_model = ", ".join(list(labels or ())[:_NUM_EXAMPLES]) or "numbers: model.labels is not given"
        LOG.warning(
            "no label of the dataset (%s, ...) is one of the model's (%s, ...): the accuracy will be 0",
            ", ".join(strangers),
            of_model,
        )
        LOG.warning("  fix: check model.labels, and dataset.label_column or the names of the folders")


_NUM_EXAMPLES = 3  # labels from each side in the warning
