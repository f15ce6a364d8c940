"""A source names a whole model in one key, ``model.source``. Readers take architecture, weights, labels and
pre-processing from it, once on the driver; workers get the complete model.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Source:
    """The value of ``model.source``."""

    text: str
    """``timm:NAME``, ``torchvision:NAME:WEIGHTS``, ``hf:REPO@REVISION``, or the path or URI of a folder."""
    storage_options: dict[str, str] = field(default_factory=dict, hash=False)
    """Settings for the store of a folder."""

    @property
    def library(self) -> str:
        """The part before the first colon, if it names a library or hub; empty for a folder."""
        kind, colon, rest = self.text.partition(":")
        return kind if colon and kind in LIBRARIES and not rest.startswith("//") else ""

    @property
    def name(self) -> str:
        """The part after the name of the library."""
        return self.text.removeprefix(f"{self.library}:") if self.library else self.text

    @property
    def where(self) -> str:
        """The key as messages name it."""
        return f"model.source={self.text}"


LIBRARIES = ("timm", "torchvision", "hf")


@dataclass
class Record:
    """A source's own description of its model: values of ``model``'s keys, None for those that it does not know."""

    architecture: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    checkpoint: str | tuple[str, ...] | None = None
    """URI of the weights; of several files of a hub, the first that exists."""
    labels: list[str] | None = None
    preprocess: dict[str, Any] | None = None
    """Fields of `actors.preprocess.Preprocess`, complete: an omitted one has its default."""
    unexpressed: str = ""
    """The reason why ``preprocess`` is None, if the source records one that no fields express."""

    def prepared(self, convert: Callable[[Any], dict[str, Any]], recorded: Any) -> Record:
        """The record with the pre-processing that ``convert`` makes of the ``recorded`` one, or the reason why not."""
        try:
            return replace(self, preprocess=convert(recorded))
        except JobError as error:
            return replace(self, unexpressed=error.problem)


class SourceReader(Protocol):
    """Reads one kind of source. Libraries are imported inside the methods."""

    def owns(self, source: Source) -> bool:
        """Returns True for a source of this kind. Readers are asked in the order of the registry."""

    def read(self, source: Source) -> Record:
        """The record of the source.

        Raises:
            JobError: there is no such model, or it has no weights that can be read.
            UnreachableError: a server does not answer.
        """
