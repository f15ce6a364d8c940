"""The transformers Trainer callback that runs an `Evaluation`. Imported only when used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.errors import JobError

if TYPE_CHECKING:
    from actors.evaluation.evaluation import Evaluation


def trainer_callback(evaluation: Evaluation, prefix: str) -> Any:
    """Implements `Evaluation.as_trainer_callback`. Raises `JobError` if transformers is missing."""
    try:
        from transformers import TrainerCallback  # noqa: PLC0415
    except ImportError as error:
        raise JobError(
            "Evaluation.as_trainer_callback: transformers is missing", fix="pip install transformers accelerate"
        ) from error

    class ScoreEpochs(TrainerCallback):
        """A callback does not receive its trainer, the only way to pass scores on to other callbacks."""

        trainer: Any = None

        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            scores = evaluation(kwargs["model"], step=round(state.epoch))
            logs = {prefix + name: score for name, score in scores.items()}
            if logs and self.trainer is not None:
                self.trainer.log(logs)
            elif logs:
                state.log_history.append({**logs, "epoch": state.epoch, "step": state.global_step})

    return ScoreEpochs()
