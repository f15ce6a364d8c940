from __future__ import annotations

import pytest

from jobs.reporting.origin import command_line


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("+dataset=images", "+dataset=images"),
        ("dataset.path=my photos", "'dataset.path=my photos'"),
        ("dataset.storage_options.secret_access_key=abc", "'dataset.storage_options.secret_access_key=***'"),
        ("output.storage_options={secret_access_key: abc}", "'output.storage_options=***'"),
        ("dataset.storage_options.region=eu-1", "dataset.storage_options.region=eu-1"),
        ("dataset.path=https://me:abc@host/x?sig=abc", "'dataset.path=https://…@host/x?…'"),
        ("model.kwargs.api_key=abc", "'model.kwargs.api_key=***'"),
        ("notify.url=https://hooks/T/B/abc", "'notify.url=***'"),
        ("-m", "-m"),
    ],
)
def test_a_command_can_be_repeated_and_holds_no_secret(argument: str, shown: str) -> None:
    assert command_line(["/site/jobs/batch_infer.py", argument]) == f"python -m jobs.batch_infer {shown}"


def test_a_program_of_the_user_is_no_command_of_ours() -> None:
    assert command_line(["train.py", "token=abc"]) == command_line([""]) == ""
