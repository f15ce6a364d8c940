from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from networks import tiny

from actors.decoding.config import Decode, DecodeDevice, has_nvimgcodec
from actors.engines.configs import Precision, TorchEngineConfig
from actors.errors import JobError
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.tasks.classify import Classify
from actors.tasks.embed import Embed
from jobs.datasets.images import ImagesDataset
from jobs.datasets.manifest import ManifestDataset
from jobs.job import Job
from jobs.runs.preflight import _check_columns, preflight


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "images").mkdir()
    torch.manual_seed(0)
    torch.save(tiny(10).state_dict(), tmp_path / "tiny.pt")
    return Job(
        dataset=ImagesDataset(path=str(tmp_path / "images")),
        model=Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"), preprocess=Preprocess(resize=40, crop=32)),
        engine=TorchEngineConfig(),
        task=Classify(),
    )


def test_what_is_known_of_a_job_that_can_run(job: Job) -> None:
    checked = preflight(job)
    assert [field.name for field in checked.fields][:3] == ["label_id", "label", "score"]
    assert checked.provenance["fingerprint"] == checked.fingerprint
    assert checked.provenance["version_shardlens"]


def test_the_dataset_is_known_by_its_place_and_the_columns_apart(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(job.dataset.path).parent)
    datasets = [job.dataset, replace(job.dataset, path="images"), replace(job.dataset, limit=3)]
    datasets += [replace(job.dataset, folder_labels=True)]
    absolute, relative, limited, labelled = (preflight(replace(job, dataset=d)).provenance for d in datasets)
    assert relative["dataset_digest"] == absolute["dataset_digest"] != limited["dataset_digest"]
    assert limited["columns_digest"] == absolute["columns_digest"] != labelled["columns_digest"]


def test_the_fingerprint_is_a_word_and_stays_the_same(job: Job) -> None:
    fingerprint = preflight(job).fingerprint
    assert fingerprint == preflight(job).fingerprint
    assert fingerprint[0].isalpha()
    assert len(fingerprint) == 16


@pytest.mark.parametrize(
    "change",
    [
        lambda job: replace(job, task=Classify(top_k=3)),
        lambda job: replace(job, task=Embed()),
        lambda job: replace(job, engine=TorchEngineConfig(precision=Precision.bf16)),
        lambda job: replace(job, model=replace(job.model, labels=list("abcdefghij"))),
        lambda job: replace(job, model=replace(job.model, preprocess=replace(job.model.preprocess, mean=[0.1] * 3))),
    ],
)
def test_what_changes_a_row_changes_the_fingerprint(job: Job, change) -> None:  # noqa: ANN001  a lambda over Job
    assert preflight(change(job)).fingerprint != preflight(job).fingerprint


@pytest.mark.skipif(not has_nvimgcodec(), reason="needs the extra nvimgcodec")
def test_where_images_may_be_decoded_counts_for_who_has_the_choice(job: Job) -> None:
    fingerprints = {preflight(replace(job, decode=Decode(device=device))).fingerprint for device in DecodeDevice}
    assert len(fingerprints) == 3


def test_other_weights_are_another_model_and_another_place_is_not(job: Job, tmp_path: Path) -> None:
    moved = tmp_path / "moved.pth"
    torch.save({"state_dict": torch.load(job.model.checkpoint)}, moved)
    same = preflight(replace(job, model=replace(job.model, checkpoint=str(moved))))
    assert same.fingerprint == preflight(job).fingerprint
    torch.manual_seed(1)
    torch.save(tiny(10).state_dict(), moved)
    assert preflight(replace(job, model=replace(job.model, checkpoint=str(moved)))).fingerprint != same.fingerprint


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda job: replace(job, dataset=ImagesDataset(path="/nowhere")), "dataset.path=/nowhere"),
        (lambda job: replace(job, model=replace(job.model, checkpoint="/nowhere.pt")), "model.checkpoint=/nowhere.pt"),
        (lambda job: replace(job, model=replace(job.model, labels=["a", "b"])), "2 labels.*10 classes"),
        (lambda job: replace(job, model=replace(job.model, architecture="networks:huge")), "networks:huge"),
        (lambda job: replace(job, engine=TorchEngineConfig(threads=0)), "engine.threads=0"),
        (lambda job: replace(job, task=Embed(output="features")), "task.output=features"),
    ],
)
def test_a_wrong_job_ends_here(job: Job, change, problem: str) -> None:  # noqa: ANN001
    with pytest.raises(JobError, match=problem):
        preflight(change(job))


@pytest.mark.parametrize("name", ["run", "Model", "uri", "_row"])
def test_an_output_must_not_have_a_reserved_name(job: Job, name: str) -> None:
    with pytest.raises(JobError, match=f"output {name} has a reserved name"):
        _check_columns(job, [pa.field(name, pa.float32())])


def test_a_kept_column_must_not_be_one_of_the_task(job: Job, tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("uri,score\na.jpg,1\n")
    dataset = ManifestDataset(path=str(manifest), keep_columns=["score"])
    with pytest.raises(JobError, match=r"dataset.keep_columns=score"):
        preflight(replace(job, dataset=dataset))
