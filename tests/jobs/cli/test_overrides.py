from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from actors.errors import JobError
from jobs.cli.overrides import as_typed
from jobs.config import to_job, to_object, to_submission
from jobs.schemas import compose_verb
from jobs.verification.config import Verification

JOB = ("+dataset=manifest", "model.checkpoint=y")
TEXTS = [
    "2024_01_15",
    "1e3",
    "007",
    "1.10",
    "true",
    "-1",
    "/data/日本",
    "/data/é",
    "/data/photos (1)",
    "/data/date=2024-01-02",
    "/data/a#b",
    "a,b",
    "it's",
    "x'y\"z",
    "a;b&c~d!e",
    "s3://b/a?x=1&y=2",
    "*/a[1].jpg",
    "shard-{0000..0099}.tar",
    " lead and trail ",
    "back\\slash\\",
    "[open",
]


def composed(*overrides: str, verb: str = "batch_infer") -> dict[str, object]:
    config = compose_verb(verb, as_typed(overrides))
    return OmegaConf.to_container(config, resolve=False)  # type: ignore[return-value]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("key", ["dataset.path", "output.path", "dataset.id_column", "+dataset.storage_options.region"])
def test_text_is_taken_as_it_is_written(key: str, text: str) -> None:
    config: object = composed(*JOB, f"{key}={text}")
    for name in key.lstrip("+").split("."):
        config = config[name]  # type: ignore[index]
    assert config == text


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"/data/日本"', "/data/日本"),
        ("[a,b]", ["a", "b"]),
        ("[2024_01, 日本]", ["2024_01", "日本"]),
        ('["a,b", c]', ["a,b", "c"]),
        ("null", None),
        ("${output.path}", "${output.path}"),
    ],
)
def test_quotes_lists_and_interpolations_are_hydras(written: str, value: object) -> None:
    assert composed(*JOB, f"dataset.path={written}")["dataset"]["path"] == value  # type: ignore[index]


def test_what_is_no_text_stays_what_it_is() -> None:
    given = [
        "+model.kwargs={a: {b: c}}",
        "task.top_k=1_0",
        "batch_size=16",
        "verbose=true",
        "+model.kwargs.n=2_0",
        "model.preprocess.mean=[0.5,1,1]",
    ]
    assert as_typed(given) == given
    others = ["--cfg", "job", "batch_infer", "dataset", "~run.id"]
    assert as_typed(others) == others


def test_commas_part_jobs_in_a_sweep_alone() -> None:
    assert as_typed(["model.checkpoint=a.pt,b.pt", "--multirun"])[0] == "model.checkpoint=a.pt,b.pt"
    assert as_typed(["model.checkpoint=日.pt,b.pt", "-m"])[0] == 'model.checkpoint="日.pt",b.pt'


def test_quoting_twice_changes_nothing() -> None:
    once = as_typed([f"dataset.path={text}" for text in TEXTS])
    assert as_typed(once) == once


@pytest.mark.parametrize(
    "override", ["+batch_size=16", "+run.id=x", "+task=embed", "+engine.precision=fp32", "+log.format=json"]
)
def test_a_plus_before_a_known_key_means_nothing(override: str) -> None:
    assert composed(*JOB, "dataset.path=x", override) == composed(*JOB, "dataset.path=x", override[1:])


@pytest.mark.parametrize(
    ("override", "problem", "fix"),
    [
        ("+batchsize=16", "batchsize: there is no such key", "did you mean batch_size?"),
        ("++batchsize=16", "batchsize: there is no such key", "did you mean batch_size?"),
        ("+cluser.workers=1", "cluser: there is no such key", "did you mean cluster?"),
        ("+run.idd=3", "run.idd: there is no such key", "did you mean run.id?"),
        ("+experiment=foo", "experiment: there is no such key", "The job has dataset"),
        ("+dataset.csv.quotes=x", "dataset.csv.quotes: there is no such key", "did you mean dataset.csv.quote?"),
        (
            "+model.preprocess.men=[1]",
            "model.preprocess.men: there is no such key",
            "did you mean model.preprocess.mean?",
        ),
    ],
)
def test_a_key_that_no_schema_knows_is_refused(override: str, problem: str, fix: str) -> None:
    config = compose_verb("batch_infer", as_typed([*JOB, "dataset.path=x", override]))
    with pytest.raises(JobError) as caught:
        to_job(config)
    assert (caught.value.problem, fix in caught.value.fix) == (problem, True)


def test_the_other_verbs_refuse_them_too() -> None:
    config = compose_verb("verify", ["output.path=x", "+digests=false"])
    with pytest.raises(JobError, match="digests: there is no such key"):
        to_object(config, Verification)
    with pytest.raises(JobError, match="waits: there is no such key"):
        to_submission(["+waits=false"])


def test_new_entries_of_mappings_are_no_unknown_keys() -> None:
    overrides = [*JOB, "dataset.path=x", "+model.kwargs.a.b=3", "+dataset.storage_options.region=x"]
    job = to_job(compose_verb("batch_infer", as_typed(overrides)))
    assert (job.model.kwargs, job.dataset.storage_options) == ({"a": {"b": 3}}, {"region": "x"})


def test_a_shell_hands_the_value_over() -> None:
    """Passes values through a shell and another process, as when a user types them."""
    code = "import sys, json; from jobs.cli.overrides import as_typed; print(json.dumps(as_typed(sys.argv[1:])))"
    typed = " ".join(shlex.quote(f"dataset.path={text}") for text in TEXTS)
    done = subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {typed}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    paths = [composed(*JOB, override)["dataset"]["path"] for override in json.loads(done.stdout)]  # type: ignore[index]
    assert paths == TEXTS


def test_a_source_takes_the_place_of_the_model_that_a_dataset_brings() -> None:
    sample = ["+dataset=sample", "model.source=timm:resnet18.a1_in1k"]
    assert composed(*sample)["model"]["architecture"] == "???"  # type: ignore[index]
    assert as_typed([*sample, "model=digits"]) == [*sample, "model=digits"]
    assert as_typed(as_typed(sample)) == as_typed(sample)
    assert as_typed(["+dataset=sample", "model.source="]) == ["+dataset=sample", "model.source="]
