"""Evaluates a network while it is in training, with the answers that a job would give for its checkpoint. Runs in the
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

    Rebuilds the network from the recipe with the present weights and buffers, and decodes and pre-processes as a job
    does, so that the scores equal those of a job on the saved checkpoint. Leaves the network, its mode and gradients,
    and the random numbers of the training as they are.

    With `torch.distributed`, every rank must call it. Each image is predicted once, with the weights of the first rank,
    and every rank returns the scores of all images.

    Args:
        recipe_or_model: architecture, pre-processing and labels; the checkpoint is not read. The engine is PyTorch.
        data: pairs of an image and its known label, or a function that returns them anew: paths or URIs, encoded bytes,
            or uint8 RGB arrays (height, width, 3); classes by name or number, null if unknown. The same on each rank.
        inferencers: measures, or, by the name of the score, metrics with `update`, `compute` and `reset` that take
            tensors, such as those of torchmetrics. Those of torchmetrics no longer synchronise processes themselves.
        every: evaluates at every so many calls, or steps; other calls return no scores.
        ema: averages of the weights to evaluate in place of the last ones: a module, such as
            `torch.optim.swa_utils.AveragedModel`, or weights by name. Read anew at each evaluation.
        batch_size: images that the network gets at a time.

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
        """Scores by name of ``network`` on all images; empty if none is due.

        Args:
            network: the network in training, wrapped or not.
            step: number of the step or epoch that has ended; by default that of the call, from 1.

        Raises:
            JobError: the weights do not fit the architecture, or no image has an answer.
        """
        self._num_calls += 1
        if (self._num_calls if step is None else step) % self.every:
            return {}
        with undisturbed():
            ranks = current_ranks()
            return self._scores(self._predictor(network, ranks), ranks)

    def predictor(self, network: nn.Module) -> Predictor:
        """Arrays, bytes or paths in, table out, with a copy of the present weights. Later training does not change it.

        With `torch.distributed`, every rank must call it.
        """
        with undisturbed():
            return self._predictor(network, current_ranks())

    def as_lightning(self, prefix: str = "") -> Any:
        """A callback of Lightning that evaluates the module after each epoch, and logs scores under ``prefix``."""
        from actors.evaluation.lightning_callback import lightning_callback  # noqa: PLC0415  an extra of the user's

        return lightning_callback(self, prefix)

    def as_trainer_callback(self, prefix: str = "eval_") -> Any:
        """A `transformers.TrainerCallback` that evaluates the model after each epoch, and adds scores under ``prefix``
        to the log history. Set its ``trainer`` for them to reach the trainer's other callbacks, too.
        """
        from actors.evaluation.trainer_callback import trainer_callback  # noqa: PLC0415  an extra of the user's

        return trainer_callback(self, prefix)

    def as_ignite(self, network: nn.Module, prefix: str = "") -> Callable[[Any], None]:
        """A handler for Ignite's ``Events.EPOCH_COMPLETED``: puts scores under ``prefix`` into the engine's metrics."""

        def evaluate(engine: Any) -> None:
            scores = self(network, step=engine.state.epoch)
            engine.state.metrics.update({prefix + name: score for name, score in scores.items()})

        return evaluate

    def _predictor(self, network: nn.Module, ranks: Ranks) -> Predictor:
        clean = live_network(self.recipe.model, network, self.ema)
        ranks.take_from_first(clean)
        # Batches of one size, so that an answer does not depend on the images beside it, and thus not on the ranks.
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
