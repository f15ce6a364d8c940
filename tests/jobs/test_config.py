from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import hub_folders
import pytest
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from actors.engines.configs import Precision, TorchEngineConfig
from actors.models.sources.registry import model_from
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.tasks.classify import Classify
from jobs.cluster.config import Cluster
from jobs.config import compose_config, compose_job, to_job, to_yaml
from jobs.datasets.images import ImagesDataset
from jobs.job import ErrorBudget, Job
from jobs.schemas import compose_verb

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    hub_folders.vit(folder)
    return folder


def job_of(*overrides: str) -> Job:
    return to_job(compose_verb("batch_infer", ["+dataset=images", "dataset.path=x", *overrides]))


def test_a_source_tells_what_no_key_gives(folder: Path) -> None:
    model = job_of(f"model.source={folder}", "model.preprocess.mean=[0.1,0.2,0.3]", "+model.kwargs.x=1").model
    assert model.architecture == "transformers:ViTForImageClassification"
    assert model.checkpoint == f"{folder}/model.safetensors"
    assert model.labels == ["cat", "dog", "owl"]
    assert model.preprocess.resize == [32, 32]
    assert model.preprocess.mean == [0.1, 0.2, 0.3]
    assert model.kwargs["x"] == 1
    assert model.kwargs["hidden_size"] == 32


def test_keys_win_over_the_source_also_where_they_give_the_default(folder: Path) -> None:
    model = job_of(f"model.source={folder}", "model.labels=null", "model.preprocess.resize=256").model
    assert model.labels is None
    assert model.preprocess.resize == 256


def test_without_a_source_the_defaults_hold() -> None:
    model = job_of("model.architecture=networks:tiny", "model.checkpoint=x.pt").model
    assert model == Model("networks:tiny", checkpoint=str(Path.cwd() / "x.pt"))
    assert model.preprocess == Preprocess()
    with pytest.raises(MissingMandatoryValue):
        job_of("model.architecture=networks:tiny")


def test_the_library_of_an_architecture_tells_its_pre_processing() -> None:
    model = job_of("model.architecture=timm:vit_base_patch32_clip_224.openai", "model.checkpoint=x.pt").model
    assert model.preprocess.mean == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert model.checkpoint == str(Path.cwd() / "x.pt")


def test_a_client_of_a_cluster_reads_no_source() -> None:
    overrides = ["+dataset=images", "dataset.path=/x", "model.source=/volume/of/the/pods"]
    job = compose_config("batch_infer", overrides).wanted
    assert (job.model.source, job.model.checkpoint) == ("/volume/of/the/pods", "")
    assert compose_config("benchmark", overrides).wanted.model.architecture is None


def test_what_a_source_says_is_text_and_no_interpolation() -> None:
    names = ["${oc.env:HOME}", "a ${ b", "$c"]
    told = replace(JOB, model=replace(JOB.model, labels=names, kwargs={"config": {"x": "${y}"}}))
    job = to_job(OmegaConf.merge(OmegaConf.structured(JOB), OmegaConf.create(to_yaml(told))))
    assert job.model.labels == names
    assert job.model.kwargs == {"config": {"x": "${y}"}}


def test_the_yaml_of_a_model_from_a_source_composes_to_the_same_model(folder: Path) -> None:
    job = job_of(f"model.source={folder}")
    again = to_job(OmegaConf.merge(OmegaConf.structured(job), OmegaConf.create(to_yaml(job))))
    assert again.model == job.model


def test_the_next_command_imports_no_library() -> None:
    overrides = ["+dataset=images", "dataset.path=x", "model.architecture=timm:resnet18", "model.checkpoint=x.pt"]
    preprocess = to_job(compose_verb("batch_infer", overrides)).model.preprocess
    code = f"""
import sys
from jobs.schemas import compose_verb
from jobs.config import to_job
print(to_job(compose_verb("batch_infer", {overrides})).model.preprocess)
sys.exit(bool({{"torch", "timm", "torchvision"}} & sys.modules.keys()))
"""
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.strip() == str(preprocess)


@pytest.mark.parametrize(
    ("given", "overrides"),
    [
        ({"model": Model(source="SOURCE")}, ["model.source=SOURCE"]),
        ({"model": {"source": "SOURCE", "kwargs": {"x": 1}}}, ["model.source=SOURCE", "+model.kwargs.x=1"]),
        (
            {"model": Model(source="SOURCE", labels=["a", "b", "c"], prefix="encoder.")},
            ["model.source=SOURCE", "model.labels=[a,b,c]", "model.prefix=encoder."],
        ),
        (
            {"model": {"source": "SOURCE", "preprocess": {"resize": 256}}},
            ["model.source=SOURCE", "model.preprocess.resize=256"],
        ),
        (
            {
                "model": Model("a.b:c", checkpoint="w.pt", preprocess=Preprocess(crop=None)),
                "task": Classify(top_k=3),
                "engine": TorchEngineConfig(precision=Precision.bf16),
                "run": {"mode": "full"},
                "errors": ErrorBudget(max_count=3),
                "batch_size": 64,
            },
            [
                *("model.architecture=a.b:c", "model.checkpoint=w.pt", "model.preprocess.crop=null", "task.top_k=3"),
                *("engine=torch", "engine.precision=bf16", "run.mode=full", "errors.max_count=3", "batch_size=64"),
            ],
        ),
    ],
)
def test_python_values_compose_the_job_of_the_same_keys(
    folder: Path, given: dict[str, Any], overrides: list[str]
) -> None:
    wanted = job_of(*(override.replace("SOURCE", str(folder)) for override in overrides))
    if isinstance(given["model"], dict):
        given = {**given, "model": {**given["model"], "source": str(folder)}}
    elif given["model"].source:
        given = {**given, "model": replace(given["model"], source=str(folder))}
    assert compose_job({"dataset": ImagesDataset(path="x"), **given}) == wanted


def test_a_completed_model_stays_as_it_is(folder: Path) -> None:
    model = model_from(str(folder), preprocess={"resize": [256, 256]}, labels=["a", "b", "c"])
    assert compose_job({"dataset": ImagesDataset(path="x"), "model": model}).model == model


def test_python_values_are_taken_as_they_are() -> None:
    name = "${dataset.kind}"
    job = compose_job(
        {
            "dataset": ImagesDataset(path=[Path(name), r"a\b"], include=[name]),
            "model": Model("a.b:c", checkpoint=f"/{name}.pt", kwargs={"x": name}, labels=[name]),
            "cluster": Cluster(),
        }
    )
    assert job.dataset == ImagesDataset(path=[name, r"a\b"], include=[name])
    assert (job.model.checkpoint, job.model.kwargs, job.model.labels) == (f"/{name}.pt", {"x": name}, [name])
    assert job.output.path == "outputs/images", "a default interpolates"
