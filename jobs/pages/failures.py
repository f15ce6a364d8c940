"""The errors section: kinds of error by frequency, each with pictures or, if there are none, examples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from actors.messages import redacted
from jobs.pages.captions import captioned
from jobs.pages.wording import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.pages.captions import Captioned
    from jobs.pages.facts import RunFacts
    from jobs.pages.gallery import Gallery


class Failure(NamedTuple):
    """One kind of error."""

    kind: str
    """``stage/kind``."""
    number: int
    percent: str
    """Share among the failed images."""
    message: str
    """The message of the first example."""
    pictures: Sequence[Captioned]
    examples: Sequence[tuple[str, str]]
    """URI, without secrets, and message."""


def failures(facts: RunFacts, gallery: Gallery) -> list[Failure]:
    """Returns the kinds of error, most frequent first, at most 50."""
    kinds = sorted(facts.report.get("error_kinds", {}).items(), key=lambda item: (-item[1], item[0]))
    return [_failure(kind, number, facts, gallery) for kind, number in kinds[:_MAX_KINDS]]


def _failure(kind: str, number: int, facts: RunFacts, gallery: Gallery) -> Failure:
    examples = [
        (redacted(uri), redacted(message)) for uri, message in facts.report.get("error_examples", {}).get(kind, [])
    ]
    # The heading already names the kind.
    pictures = [replace(captioned(one), title="") for one in gallery.groups.get(f"error/{kind}", ())]
    message = examples[0][1] if examples else next((one.message for one in pictures), "")
    return Failure(kind, number, percent(number, facts.num_errors), message, pictures, examples)


_MAX_KINDS = 50
