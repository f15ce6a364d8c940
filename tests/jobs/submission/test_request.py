from __future__ import annotations

import pytest
from jobs_server import JobsServer, ServedJob
from omegaconf.errors import OmegaConfBaseException

from actors.errors import JobError
from jobs.cli.entry import CONFIG_ERRORS
from jobs.submission.jobs_api import JobsApi
from jobs.submission.request import latest_submission, read_request, submission_name

ADDRESS = "cluster.address=http://host:8265"
SAMPLE = ["batch_infer", ADDRESS, "+dataset=sample", "output.path=/shared/out"]


def test_what_is_for_the_submission_does_not_go_on() -> None:
    request = read_request([*SAMPLE, "wait=false", "+cluster.py_modules=[a,b]", "cluster.workers=2"])
    assert request.submission.cluster.py_modules == ["a", "b"]
    assert not request.submission.wait
    assert request.arguments() == [
        "+dataset=sample",
        "output.path=/shared/out",
        "cluster.workers=2",
        "cluster.address=auto",
    ]


def test_a_verb_without_a_cluster_is_not_told_of_one() -> None:
    request = read_request(["verify", ADDRESS, "output.path=s3://bucket/out", "run.id=r"])
    assert request.arguments() == ["output.path=s3://bucket/out", "run.id=r"]
    assert request.run_id is None
    assert request.grace_s == 0
    assert not request.is_resumed


def test_an_evaluation_of_a_published_run_needs_no_dataset() -> None:
    request = read_request(["evaluate", ADDRESS, "evaluate.run=r", "output.path=s3://bucket/out", "log.format=json"])
    assert request.arguments() == [
        "evaluate.run=r",
        "output.path=s3://bucket/out",
        "log.format=json",
        "cluster.address=auto",
    ]
    assert request.composed.wanted.log.format == "json"
    assert not request.composed.wanted.verbose


@pytest.mark.parametrize(("verb", "instead"), [("serve", "RayService"), ("browse", "python -m jobs.browse here")])
def test_a_verb_that_cannot_be_submitted_says_what_to_do_instead(verb: str, instead: str) -> None:
    with pytest.raises(JobError, match=instead):
        read_request([verb, ADDRESS, "model=digits"])


def test_following_a_training_on_the_cluster_happens_once_at_a_time() -> None:
    words = ["follow", ADDRESS, "+dataset=sample", "output.path=/shared/out", "model.architecture=networks:tiny"]
    request = read_request([*words, "checkpoints.path=s3://bucket/training"])
    assert request.arguments()[-2:] == ["checkpoints.path=s3://bucket/training", "cluster.address=auto"]
    assert (request.run_id, request.composed.wanted.checkpoints.path) == (None, "s3://bucket/training")
    assert submission_name(request) == submission_name(request)
    with pytest.raises(JobError, match=r"checkpoints\.path=training: a relative path"):
        read_request([*words, "checkpoints.path=training"])


def test_runs_are_compared_and_replayed_where_the_cluster_reads_them() -> None:
    compare = ["compare", ADDRESS, "a=night-1", "output.path=s3://bucket/out"]
    assert read_request([*compare, "b=/shared/out/runs/r"]).arguments() == [*compare[2:], "b=/shared/out/runs/r"]
    with pytest.raises(JobError, match=r"b=out/runs/r: a relative path"):
        read_request([*compare, "b=out/runs/r"])
    replay = ["replay", ADDRESS, "run=r", "url=http://model:8000", "output.path=s3://bucket/out"]
    assert read_request(replay).arguments() == replay[2:]
    for override, problem in (
        ("+replay.image_storage_options.secret_access_key=hush", "a secret"),
        ("replay.token_file=token", "a relative path"),
    ):
        with pytest.raises(JobError, match=problem):
            read_request([*replay, override])


def test_the_run_has_its_folder_once_it_has_a_name() -> None:
    assert read_request([*SAMPLE, "run.id=r", "run.grace_s=7"]).run_folder == "/shared/out/runs/r"
    assert read_request(SAMPLE).run_folder is None
    assert read_request([*SAMPLE, "run.grace_s=7"]).grace_s == 7


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ([], [], True),
        (["batch_size=4"], ["batch_size=8"], False),
        (["run.id=r", "batch_size=4"], ["run.id=r", "batch_size=8"], True),
        (["run.id=r"], ["run.id=s"], False),
        (["run.id=r"], ["run.id=r", "output.path=/shared/other"], False),
        (["run.id=r"], ["run.id=r", "run.redrive=true"], False),
        (["batch_size=4", "verbose=true"], ["verbose=true", "batch_size=4"], True),
    ],
)
def test_the_digest_tells_one_run_from_another(one: list[str], other: list[str], *, is_same: bool) -> None:
    assert (read_request([*SAMPLE, *one]).digest == read_request([*SAMPLE, *other]).digest) is is_same


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "no verb"),
        (["+dataset=sample"], "no verb"),
        (["batch_infr"], "did you mean batch_infer"),
        (["submit"], "not a verb for a cluster"),
        ([*SAMPLE, "--multirun"], "flags"),
        ([*SAMPLE, "batch_size=0"], "batch_size=0"),
        ([*SAMPLE, "run.id=a/b"], "not a valid folder name"),
        ([*SAMPLE, "engine=openvino", "engine.device=cuda"], "runs only on CPUs"),
        ([*SAMPLE, "output.path=out"], "a relative path"),
        ([*SAMPLE, "+output.storage_options.secret_access_key=hush"], "a secret"),
    ],
)
def test_a_wrong_request_is_refused(arguments: list[str], problem: str) -> None:
    with pytest.raises(JobError, match=problem) as caught:
        read_request(arguments)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("override", ["no.such=key", "batch_size=[1", "wait=perhaps", "+dataset=none", "engine=none"])
def test_what_hydra_refuses_is_refused(override: str) -> None:
    with pytest.raises(CONFIG_ERRORS):
        read_request([*SAMPLE, override])


def test_a_missing_value_is_refused() -> None:
    with pytest.raises(OmegaConfBaseException, match="checkpoint"):
        read_request(["batch_infer", ADDRESS, "+dataset=images", "dataset.path=s3://bucket/x", "output.path=/o"])


def test_a_conversion_can_be_sent_with_paths_of_the_cluster() -> None:
    words = ["convert", ADDRESS, "output.path=s3://bucket/out", "to=csv"]
    request = read_request([*words, "convert.path=/shared/csv"])
    assert request.arguments() == ["output.path=s3://bucket/out", "to=csv", "convert.path=/shared/csv"]
    assert (request.grace_s, request.run_id) == (0, None)
    with pytest.raises(JobError, match=r"convert\.path=csv: a relative path"):
        read_request([*words, "convert.path=csv"])


def test_the_same_run_has_the_same_name() -> None:
    request = read_request([*SAMPLE, "run.id=tick.7"])
    assert submission_name(request) == submission_name(read_request([*SAMPLE, "run.id=tick.7", "cluster.workers=3"]))
    assert submission_name(request) == f"batch_infer-tick.7-{request.digest}"
    assert submission_name(read_request(SAMPLE)) == submission_name(read_request(SAMPLE)) != submission_name(request)


def test_a_verb_that_does_not_go_on_is_another_each_time() -> None:
    request = read_request(["verify", "cluster.address=http://host:8265", "output.path=/shared/out"])
    assert submission_name(request).startswith("verify-")
    assert submission_name(request) != submission_name(request)


def test_the_latest_is_that_of_the_highest_number(server: JobsServer) -> None:
    server.jobs = {f"{name}": ServedJob() for name in ("a-1", "a-10", "a-9", "a-x", "a-b-11", "b-12")}
    server.jobs["a-10"].end(3)
    number, details = latest_submission(JobsApi(server.address), "a")
    assert number == 10
    assert details is not None
    assert details.driver_exit_code == 3
    assert latest_submission(JobsApi(server.address), "c") == (0, None)
