"""Task ``zero_shot``: scores of classes described by texts, from an image-text model such as CLIP. Runs in the
predictor; the texts are embedded once, where the job starts.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.disk_cache import CHECKS, CacheError, keep
from actors.errors import JobError
from actors.exporting.export_cache import model_key
from actors.exporting.source_digest import version
from actors.field_types import coerce_fields
from actors.models.sources.base import Source
from actors.models.sources.text_source import read_text_source
from actors.models.text_head import TextHead
from actors.tasks.base import Outputs, Task, pick_output, vectors
from actors.tasks.class_counts import count_predicted
from actors.tasks.embed import Embed
from actors.tasks.label_counts import label_lines
from actors.tasks.parity import Comparison
from actors.tasks.prompts import read_prompts
from actors.tasks.rankings import rank_answers
from actors.tasks.scores import (
    CHOSEN_FIELDS,
    SCORE_FIELDS,
    Activation,
    activate,
    check_threshold,
    chosen_columns,
    compare_answers,
    score_columns,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from actors.engines.tolerance import Tolerance
    from actors.models.sources.text_source import TextSource
    from actors.models.spec import Model
    from actors.tasks.context import BatchContext
    from actors.tasks.parity import Agreement
    from actors.writing.picks import Ranking


@dataclass
class ZeroShot(Task):
    """Writes the columns of task=classify for the classes that ``prompts`` describe: the softmax over all classes with
    CLIP, and independent probabilities with SigLIP. The engine runs only the image part of the model.
    """

    name: str = "zero_shot"
    prompts: Any = None
    """Labels: a list, or the path or URI of a file as in ``model.labels``, from which ``templates`` make texts; or a
    mapping from labels to a text or a list of texts, which are used unchanged. Several texts of a label are averaged.
    """
    templates: list[str] = field(default_factory=lambda: ["a photo of a {}."])
    """Texts with {} in place of the label."""
    text_source: str | None = None
    """Folder or hf:REPO of the CLIPModel or SiglipModel whose text part embeds the texts; by default ``model.source``.
    Needed if that is a bundle, or only the image part."""
    top_k: int = 5
    """Number of classes in the lists; fewer if there are fewer."""
    threshold: float | None = None
    """With SigLIP: adds ``label_ids``, ``labels`` and ``scores``, lists of all classes whose score is at least this,
    best first; null adds no columns."""
    output: str | None = None
    """Name of the output with the image vector; needed only if several outputs qualify."""

    def __post_init__(self) -> None:
        coerce_fields(self, "task")
        self._texts: dict[str, list[str]] = {}
        self._head: TextHead | None = None  # not a field: the config of a job holds no arrays

    def prepare(self, model: Model) -> None:
        """Embeds the texts, or reads their vectors from this node's cache. Does nothing if already called."""
        if self._head is None:
            self._texts = read_prompts(self.prompts, self.templates, model.storage_options)
            self._head = _text_head(self._read_source(model), list(self._texts.values()))

    def class_names(self, model: Model) -> list[str]:
        return list(read_prompts(self.prompts, self.templates, model.storage_options))

    def identity(self) -> dict[str, Any]:
        """See `actors.tasks.base.Task`. Covers texts, tokens and weights, but not vectors, whose last bits differ
        between machines.
        """
        assert self._head is not None, "prepare comes first"  # noqa: S101
        fields = asdict(self)
        del fields["text_source"], fields["templates"]
        return {**fields, "prompts": self._texts, "text": self._head.digest}

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:  # noqa: ARG002
        if self.top_k < 1:
            raise JobError(f"task.top_k={self.top_k}: must be at least 1", fix="the usual value is 5")
        (output,) = self.output_names(outputs)
        length = math.prod(outputs.shapes[output])
        if self._head is not None and length != self._head.vectors.shape[1]:
            raise JobError(
                f"task=zero_shot: the model's output {output} has {length} values, and the vectors of the prompts have "
                f"{self._head.vectors.shape[1]}",
                fix="give the image part of the same model: name the folder of the whole as model.source, or the "
                "projected output as task.output",
            )
        check_threshold(self.threshold, self._activation)
        return [*SCORE_FIELDS, *(CHOSEN_FIELDS if self.threshold is not None else ())]

    def output_names(self, outputs: Outputs) -> list[str]:
        return [pick_output(outputs, self.output, task="zero_shot")]

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Accepts everything: any vector may represent an image."""

    def columns(self, tensors: Mapping[str, np.ndarray], context: BatchContext) -> tuple[list[pa.Array], np.ndarray]:
        scores = activate(self._logits(tensors), self._activation)
        columns = score_columns(scores, context.labels, self.top_k)
        if self.threshold is not None:
            columns += chosen_columns(scores, context.labels, self.threshold)
        return columns, np.isfinite(scores).all(axis=1)

    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """See `actors.tasks.base.Task`. Compares scores like task=classify; before `prepare`, as when a bundle is
        loaded, compares image vectors like task=embed.
        """
        if self._head is None:
            return Embed(normalize=True, output=self.output).agreement(reference, candidate, tolerance)
        comparison = Comparison(tolerance)
        names = self.output_names(Outputs.of(reference))
        if not comparison.has_outputs(reference, candidate, names):
            return comparison.result
        wanted, given = (self._logits({name: tensors[name] for name in names}) for tensors in (reference, candidate))
        return compare_answers(names[0], wanted, given, self._activation, tolerance)

    def counts(self, table: pa.Table) -> dict[str, int]:
        """Counts like `actors.tasks.classify.Classify.counts`."""
        texts = list(self._texts) or None
        return count_predicted(table, texts, top_k=self.top_k, has_several=self.threshold is not None)

    def rankings(self, table: pa.Table) -> list[Ranking]:
        return rank_answers(table, list(self._texts) or None, is_single=self.threshold is None)

    def summary(self, counters: Mapping[str, int]) -> list[tuple[str, str]]:
        return label_lines(counters)

    @property
    def _activation(self) -> Activation:
        return Activation.sigmoid if self._head is not None and self._head.is_sigmoid else Activation.softmax

    def _logits(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        assert self._head is not None, "prepare comes first"  # noqa: S101
        (output,) = self.output_names(Outputs.of(tensors))
        return self._head.logits(vectors(tensors[output]))

    def _read_source(self, model: Model) -> TextSource:
        source = Source(self.text_source or model.source, model.storage_options)
        if not source.text:
            raise JobError(
                "task=zero_shot: neither model.source nor task.text_source names a model with a text part",
                fix="set model.source to a folder or hf:REPO of CLIP or SigLIP, or task.text_source to that of the "
                "model whose image part runs",
            )
        return read_text_source(source)


def _text_head(source: TextSource, texts: Sequence[Sequence[str]]) -> TextHead:
    parts = (
        model_key(source.model),
        sorted((name, hashlib.sha256(data).hexdigest()) for name, data in source.tokenizer.items()),
        texts,
        [version(library) for library in ("transformers", "tokenizers")],
    )
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    with suppress(CacheError):
        return TextHead.load(keep(key, partial(_write, source, texts), _always, kind=CHECKS) / _FILE)
    return _made(source, texts)


_FILE = "text_head.npz"


def _always(folder: Path) -> bool:  # noqa: ARG001
    return True


def _write(source: TextSource, texts: Sequence[Sequence[str]], folder: Path) -> None:
    _made(source, texts).save(folder / _FILE)


def _made(source: TextSource, texts: Sequence[Sequence[str]]) -> TextHead:
    from actors.models.text_vectors import embed_texts  # noqa: PLC0415  torch takes seconds to import

    return embed_texts(source, texts)
