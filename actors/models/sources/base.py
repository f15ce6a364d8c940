"""A source names a whole model in one key, ``model.source``. Readers get architecture, weights, labels and
pre-processing from it, once on the driver; workers receive the complete model.
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
        """The key as named in messages."""
        return f"model.source={self.text}"


LIBRARIES = ("timm", "torchvision", "hf")


@dataclass
class Record:
    """A source's description of its model: values for the keys of ``model``, None for unknown ones."""

    architecture: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    checkpoint: str | tuple[str, ...] | None = None
    """URI of the weights, or several URIs in a hub, of which the first that exists counts."""
    labels: list[str] | None = None
    preprocess: dict[str, Any] | None = None
    """All fields of `actors.preprocess.Preprocess`; omitted fields have their defaults."""
    unexpressed: str = ""
    """Why ``preprocess`` is None, if the source records pre-processing that the fields cannot express."""

    def prepared(self, convert: Callable[[Any], dict[str, Any]], recorded: Any) -> Record:
        """Returns the record with ``recorded`` pre-processing as converted by ``convert``, or the reason why that
        fails.
        """
        try:
            return replace(self, preprocess=convert(recorded))
        except JobError as error:
            return replace(self, unexpressed=error.problem)


class SourceReader(Protocol):
    """Reads one kind of source. Libraries are imported inside the methods."""

    def owns(self, source: Source) -> bool:
        """Returns True for a source of this kind. Readers are tried in registry order."""

    def read(self, source: Source) -> Record:
        """Returns the record of the source.

        Raises:
            JobError: there is no such model, or it has no readable weights.
            UnreachableError: a server does not answer.
        """
