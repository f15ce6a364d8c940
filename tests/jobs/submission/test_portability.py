from __future__ import annotations

import os

import pytest

from actors.errors import JobError
from jobs.config import compose_config
from jobs.submission.portability import named_variables, refuse_relative_paths, refuse_secrets

JOB = ["+dataset=images", "dataset.path=/volume/images", "model.checkpoint=s3://bucket/x.pt", "output.path=/volume/o"]


def refuse(verb: str, *overrides: str) -> None:
    told = compose_config(verb, overrides)
    refuse_relative_paths(verb, told.content)
    refuse_secrets(overrides, told.content)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["dataset.path=[/volume/a,s3://bucket/b]"],
        ["model.labels=[cat,dog]"],
        ["model.source=timm:resnet50"],
        ["model.source=hf:microsoft/resnet-50@main"],
        ["model.source=/volume/models/resnet"],
        ["model.checkpoint=hf://me/net/model.safetensors"],
        ["output.path=file:///volume/o"],
        ["+output.storage_options.endpoint=http://minio:9000", "+dataset.storage_options.aws_region=eu-west-1"],
        ["dataset.path=https://host/images/x%20y.jpg"],
    ],
)
def test_what_the_cluster_can_reach_is_not_refused(overrides: list[str]) -> None:
    refuse("batch_infer", *JOB, *overrides)


@pytest.mark.parametrize(
    "override",
    [
        "dataset.path=images",
        "dataset.path=[/volume/a,b]",
        "model.checkpoint=x.pt",
        "model.labels='~/names.txt'",
        "model.source=models/resnet",
    ],
)
def test_a_relative_path_is_refused(override: str) -> None:
    with pytest.raises(JobError, match=f"{override.partition('=')[0]}=.*a relative path"):
        refuse("batch_infer", *JOB, override)


def test_the_default_output_is_relative() -> None:
    with pytest.raises(JobError, match=r"output.path=outputs/"):
        refuse("batch_infer", *JOB[:-1])
    with pytest.raises(JobError, match=r"benchmark.output=benchmark.json"):
        refuse("benchmark", *JOB[:-1])
    refuse("benchmark", *JOB[:-1], "benchmark.output=s3://bucket/figures.json")


def test_an_export_writes_its_bundle_elsewhere_too() -> None:
    with pytest.raises(JobError, match=r"export.path=bundle"):
        refuse("export", *JOB[:-1], "export.path=bundle")
    refuse("export", *JOB[:-1], "export.path=s3://bucket/bundle")


@pytest.mark.parametrize("group", ["dataset", "model", "output"])
@pytest.mark.parametrize("name", ["secret_access_key", "AWS_SECRET_ACCESS_KEY", "token"])
def test_secret_options_are_refused(group: str, name: str) -> None:
    with pytest.raises(JobError, match=f"{group}.storage_options.{name}: a secret") as caught:
        refuse("batch_infer", *JOB, f"+{group}.storage_options.{name}=hush")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://user:hush@host/x.jpg", "https://host/x.jpg?sig=hush"])
def test_secrets_of_urls_are_refused(url: str) -> None:
    with pytest.raises(JobError, match="list of jobs") as caught:
        refuse("batch_infer", *JOB, f"dataset.path='{url}'")
    assert "hush" not in str(caught.value)


def test_a_variable_of_the_pods_may_be_named() -> None:
    override = "+output.storage_options.secret_access_key=${oc.env:SHARDLENS_OF_THE_PODS}"
    with named_variables([override]):
        refuse("batch_infer", *JOB, override)
    assert "SHARDLENS_OF_THE_PODS" not in os.environ
