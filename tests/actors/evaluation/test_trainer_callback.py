from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from training import MODEL, held_out, trained

from actors.evaluation.accuracy import Accuracy
from actors.evaluation.evaluation import Evaluation

if TYPE_CHECKING:
    from pathlib import Path

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")


class Training(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = trained()

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.network(pixel_values)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


@pytest.mark.filterwarnings("ignore")  # the library's own warnings
@pytest.mark.parametrize("is_bound", [True, False])
def test_the_trainer_keeps_the_scores_of_each_epoch(tmp_path: Path, *, is_bound: bool) -> None:
    callback = Evaluation(MODEL, held_out()[:64], [Accuracy()]).as_trainer_callback()
    rows = [{"pixel_values": torch.zeros(3, 32, 32), "labels": torch.tensor(1)}] * 4
    options = {"report_to": [], "use_cpu": True, "save_strategy": "no", "disable_tqdm": True, "learning_rate": 0.0}
    arguments = transformers.TrainingArguments(str(tmp_path), num_train_epochs=2, **options)
    trainer = transformers.Trainer(Training(), arguments, train_dataset=rows, callbacks=[callback])
    callback.trainer = trainer if is_bound else None
    trainer.train()
    scores = [(entry["epoch"], entry["eval_accuracy"]) for entry in trainer.state.log_history if "eval_top1" in entry]
    assert scores == [(1.0, scores[0][1]), (2.0, scores[0][1])]
    assert scores[0][1] > 0.9
