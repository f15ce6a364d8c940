"""Evaluates a network during training, with the predictions that a job would make from its checkpoint. Runs in the
training process.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.evaluation.examples import check_examples, share
from actors.evaluation.inferencer import Inferencer
from actors.evaluation.live_network import live_network, live_recipe
from actors.evaluation.rank_share import RankShare, scores_of
from actors.evaluation.ranks import current_ranks
from actors.evaluation.tensor_metrics import TensorInferencer
from actors.evaluation.undisturbed import undisturbed
from actors.messages import one_line
from actors.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from actors.evaluation.examples import Examples
    from actors.evaluation.live_network import Averages
    from actors.evaluation.ranks import Ranks
    from actors.evaluation.tensor_metrics import TensorMetric
    from actors.models.spec import Model
    from actors.recipe import Recipe

LOG = logging.getLogger("shardlens")


class Evaluation:
    """Scores a network in any PyTorch loop: ``evaluation(network)``.

    Rebuilds the network from the recipe with its current weights and buffers, and decodes and pre-processes as a job
    does, so that the scores equal a job's on the saved checkpoint. Does not change the network, its mode and gradients,
    or the random state of the training.

    With `torch.distributed`, every rank must call it. Each image is predicted once, with the first rank's weights, and
    every rank returns the scores of all images.

    Args:
        recipe_or_model: architecture, pre-processing and labels; the checkpoint is not read. The engine is PyTorch.
        data: pairs of an image and its known label, or a function that returns a fresh iterable of them: paths or URIs,
            encoded bytes, or uint8 RGB arrays (height, width, 3); labels are class names or numbers, null if unknown.
            The same on each rank.
        inferencers: inferencers, or metrics by score name, with `update`, `compute` and `reset`, that accept tensors,
            such as torchmetrics'. Torchmetrics metrics then no longer synchronise across processes.
        every: evaluates once every this many calls or steps; other calls return no scores.
        ema: averaged weights to evaluate instead of the latest ones: a module, such as
            `torch.optim.swa_utils.AveragedModel`, or weights by name. Read again at each evaluation.
        batch_size: images per forward pass.

    Raises:
        JobError: the recipe cannot be evaluated in training, or ``data`` is an iterator.
    """

    def __init__(
        self,
        recipe_or_model: Recipe | Model,
        data: Examples,
        inferencers: Sequence[Inferencer] | Mapping[str, Inferencer | TensorMetric],
        *,
        every: int = 1,
        ema: Averages | None = None,
        batch_size: int = 32,
    ) -> None:
        if every < 1:
            raise JobError(f"every={every}: must be at least 1", fix="the usual value is 1")
        check_examples(data)
        self.recipe = live_recipe(recipe_or_model)
        self.data, self.every, self.ema, self.batch_size = data, every, ema, batch_size
        labels = self.recipe.task.class_names(self.recipe.model)
        self.inferencers = _inferencers(inferencers, labels)
        self._num_calls = 0

    def __call__(self, network: nn.Module, *, step: int | None = None) -> dict[str, float]:
        """Returns the scores of ``network`` on all images, by name; empty if no evaluation is due.

        Args:
            network: the network in training, wrapped or not.
            step: number of the step or epoch that just ended; by default the number of the call, from 1.

        Raises:
            JobError: the weights do not fit the architecture, or no image has a prediction.
        """
        self._num_calls += 1
        if (self._num_calls if step is None else step) % self.every:
            return {}
        with undisturbed():
            ranks = current_ranks()
            return self._scores(self._predictor(network, ranks), ranks)

    def predictor(self, network: nn.Module) -> Predictor:
        """Returns a predictor from arrays, bytes or paths to a table, with a copy of the current weights.

        With `torch.distributed`, every rank must call it.
        """
        with undisturbed():
            return self._predictor(network, current_ranks())

    def as_lightning(self, prefix: str = "") -> Any:
        """Returns a Lightning callback that evaluates the module after each epoch and logs scores under ``prefix``."""
        from actors.evaluation.lightning_callback import lightning_callback  # noqa: PLC0415  an extra of the user's

        return lightning_callback(self, prefix)

    def as_trainer_callback(self, prefix: str = "eval_") -> Any:
        """Returns a `transformers.TrainerCallback` that evaluates the model after each epoch and adds scores to the log
        history under ``prefix``. Set its ``trainer`` to pass the scores on to the trainer's other callbacks, too.
        """
        from actors.evaluation.trainer_callback import trainer_callback  # noqa: PLC0415  an extra of the user's

        return trainer_callback(self, prefix)

    def as_ignite(self, network: nn.Module, prefix: str = "") -> Callable[[Any], None]:
        """Returns an Ignite handler for ``Events.EPOCH_COMPLETED`` that adds scores under ``prefix`` to its metrics."""

        def evaluate(engine: Any) -> None:
            scores = self(network, step=engine.state.epoch)
            engine.state.metrics.update({prefix + name: score for name, score in scores.items()})

        return evaluate

    def _predictor(self, network: nn.Module, ranks: Ranks) -> Predictor:
        clean = live_network(self.recipe.model, network, self.ema)
        ranks.take_from_first(clean)
        # Batches of one size, so that a prediction depends neither on the other images in the batch nor on the ranks.
        return Predictor(self.recipe, network=clean, batch_size=self.batch_size)

    def _scores(self, predictor: Predictor, ranks: Ranks) -> dict[str, float]:
        for inferencer in self.inferencers:
            inferencer.reset()
        own = RankShare()
        try:
            own.measure(predictor, share(self.data, ranks.rank, ranks.total), self.inferencers, ranks.total)
        except Exception as error:
            if ranks.total == 1:
                raise
            LOG.exception("rank %d cannot evaluate", ranks.rank)
            own.failure = f"{type(error).__name__}: {one_line(error)}"  # raised on all ranks, which wait for this one
        return scores_of(ranks.gather(own), self.inferencers)


def _inferencers(
    given: Sequence[Inferencer] | Mapping[str, Inferencer | TensorMetric], labels: Sequence[str] | None
) -> list[Inferencer]:
    if not isinstance(given, Mapping):
        return list(given)
    return [
        metric if isinstance(metric, Inferencer) else TensorInferencer(name, metric, labels)
        for name, metric in given.items()
    ]
