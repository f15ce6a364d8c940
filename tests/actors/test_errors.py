from __future__ import annotations

import pickle

from actors.errors import ImageError, JobError


def test_job_error_names_problem_and_fix() -> None:
    assert str(JobError("batch_size=0: too small", fix="try 32")) == "batch_size=0: too small\n  fix: try 32"


def test_errors_survive_pickling_between_processes() -> None:
    job_error = pickle.loads(pickle.dumps(JobError("a", fix="b")))  # noqa: S301  our own bytes
    image_error = pickle.loads(pickle.dumps(ImageError("decode", "truncated", "m")))  # noqa: S301
    assert (job_error.problem, job_error.fix) == ("a", "b")
    assert (image_error.stage, image_error.kind, image_error.message) == ("decode", "truncated", "m")


def test_names_in_an_error_forge_nothing() -> None:
    error = JobError("dataset.path=a\n  fix: none: no such file", fix="name \x1b[1mone")
    assert str(error) == "dataset.path=a\\n  fix: none: no such file\n  fix: name \\x1b[1mone"
    assert ImageError("read", "io_error", "at \x1b]0;x\x07").message == "at \\x1b]0;x\\x07"


def test_message_of_an_image_error_is_cut() -> None:
    assert len(ImageError("read", "io_error", "x" * 10_000).message) == 500
