from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from actors.engines.configs import Precision, TorchEngineConfig
from actors.models.spec import Model
from actors.tasks.classify import Classify
from jobs.config import to_job, to_yaml
from jobs.datasets.images import ImagesDataset
from jobs.job import Job

JOB = Job(
    dataset=ImagesDataset(
        path=["x", "https://me:hush@host/x.jpg"],
        storage_options={"secret_access_key": "hush", "endpoint": "http://127.0.0.1:9"},
    ),
    model=Model("a.b:c", checkpoint="w.pt", storage_options={"token": "hush"}),
    engine=TorchEngineConfig(precision=Precision.bf16),
    task=Classify(top_k=3),
)


def test_secrets_are_hidden_and_endpoints_are_not() -> None:
    text = to_yaml(JOB)
    assert "hush" not in text
    assert "http://127.0.0.1:9" in text
    assert "https://host/x.jpg" in text
    assert "hush" in JOB.dataset.storage_options.values()


def test_the_yaml_holds_the_whole_job() -> None:
    config = OmegaConf.create(to_yaml(JOB))
    assert config.engine.precision == "bf16"
    assert config.task.top_k == 3
    assert config.errors.max_ratio == 0.05


def test_a_composed_config_converts_to_a_job() -> None:
    job = to_job(OmegaConf.structured(JOB))
    assert isinstance(job, Job)
    assert job.engine.precision is Precision.bf16
    assert isinstance(job.dataset, ImagesDataset)
    assert job.model.checkpoint == str(Path.cwd() / "w.pt")


def test_packaged_files_are_found() -> None:
    config = OmegaConf.create({"path": "${package:actors.sample/labels.txt}"})
    assert Path(config.path).read_text().split() == list("0123456789")
