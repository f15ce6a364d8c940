from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from training import MODEL, held_out, trained

from actors.evaluation.accuracy import Accuracy
from actors.evaluation.evaluation import Evaluation

lightning = pytest.importorskip("lightning.pytorch")


class Training(lightning.LightningModule):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.net = trained()

    def training_step(self, batch: Any, _number: int) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)


@pytest.mark.filterwarnings("ignore")  # the library's own warnings
def test_the_trainer_logs_the_scores_of_every_second_epoch(tmp_path: Any) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    callback = Evaluation(MODEL, held_out()[:64], [Accuracy()], every=2).as_lightning("val_")
    images = torch.utils.data.TensorDataset(torch.zeros(4, 3, 32, 32), torch.tensor([1, 2, 3, 4]))
    batches = torch.utils.data.DataLoader(images, batch_size=2)
    keeping = lightning.callbacks.ModelCheckpoint(tmp_path, monitor="val_accuracy", every_n_epochs=2, mode="max")
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(max_epochs=2, callbacks=[callback, keeping], default_root_dir=tmp_path, **options)
    trainer.fit(Training(), batches)
    assert trainer.callback_metrics["val_accuracy"] == keeping.best_model_score > 0.9
