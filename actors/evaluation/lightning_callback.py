"""The Lightning callback that runs an `Evaluation`. Imported only when used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.errors import JobError

if TYPE_CHECKING:
    from actors.evaluation.evaluation import Evaluation


def lightning_callback(evaluation: Evaluation, prefix: str) -> Any:
    """Implements `Evaluation.as_lightning`. Raises `JobError` if Lightning is missing."""
    try:
        from lightning.pytorch import Callback  # noqa: PLC0415
    except ImportError as error:
        raise JobError("Evaluation.as_lightning: lightning is missing", fix="pip install lightning") from error

    class ScoreEpochs(Callback):  # type: ignore[misc]  # mypy may lack the package
        """The module logs the scores, so that `ModelCheckpoint(monitor=…)` and loggers see them."""

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            scores = evaluation(pl_module, step=trainer.current_epoch + 1)
            pl_module.log_dict({prefix + name: score for name, score in scores.items()})

    return ScoreEpochs()
