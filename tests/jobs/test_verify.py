from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import commanded
import pytest
from places import Place, local_place
from published import PublishedRun, break_byte
from s3 import S3
from syntax import find_imports
from tampering import TAMPERINGS, Tampering

from actors.errors import JobError
from jobs.cli.entry import ExitStatus
from jobs.job import OutputLocation
from jobs.verification.config import Expected, Verification, VerifiedRun
from jobs.verify import verify

ROOT = Path(__file__).parents[2]

# The modules that write, read and commit a run: a fault in them must not hide itself.
DRIVER = {f"jobs.{name}" for name in ("commit", "runs", "records", "redrive", "coverage", "inventory")}
DRIVER |= {f"actors.{name}" for name in ("sink", "receipts", "shards", "run_paths")}


def wanted(place: Place, run_id: str | None = None) -> Verification:
    return Verification(output=OutputLocation(place.root, place.options), run=VerifiedRun(run_id))


def broken(run_id: str) -> PublishedRun:
    run = PublishedRun(run_id)
    del run.files[run.of("rows")[0]]
    return run


def unfinished(run_id: str) -> PublishedRun:
    run = PublishedRun(run_id)
    del run.files[f"runs/{run_id}/_SUCCESS"]
    return run


def test_every_run_and_the_verdict_are_told(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for run in (PublishedRun("a"), unfinished("b"), PublishedRun("c")):
        run.put(place)
    assert verify(wanted(place)) is ExitStatus.DONE
    first, second, third, last = capsys.readouterr().out.splitlines()
    assert first.startswith("run a: proven: 8 listed = 7 ok + 1 errors; 3 parts; rows digest ")
    assert second == "run b: unfinished: 8 listed, 7 ok + 1 errors in 3 parts"
    assert third.startswith("run c: proven: ")
    assert last == "proven: 2 runs; 1 run did not end"


def test_one_run_that_is_wrong(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for run in (PublishedRun("a"), broken("b")):
        run.put(place)
    assert verify(wanted(place)) is ExitStatus.FAILED
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["run a", *["run b"] * 5, "refuted"]
    assert lines[-1] == "refuted: 4 findings; 1 of 2 runs refuted"
    assert verify(wanted(place, "a")) is ExitStatus.DONE
    assert capsys.readouterr().out.splitlines()[-1] == "proven: 1 run"
    assert verify(wanted(place, "b")) is ExitStatus.FAILED


def test_a_stranger_of_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = local_place(tmp_path)
    PublishedRun("a").put(place)
    place.put("rows/model=m/run=gone/part-000000-x.parquet", b"")
    assert verify(wanted(place)) is ExitStatus.FAILED
    assert capsys.readouterr().out.splitlines()[1:] == [
        "output: stranger file: rows/model=m/run=gone/part-000000-x.parquet",
        "refuted: 1 finding; 0 of 1 run refuted",
    ]
    assert verify(wanted(place, "a")) is ExitStatus.DONE


def test_runs_that_did_not_end_are_neither_proven_nor_refuted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = local_place(tmp_path)
    unfinished("a").put(place)
    assert verify(wanted(place)) is ExitStatus.STOPPED
    assert capsys.readouterr().out.splitlines()[-1] == "nothing to prove: 1 run did not end"


def test_an_output_without_runs(place: Place) -> None:
    place.put("mine.txt", b"x")
    with pytest.raises(JobError, match="there are no runs below it"):
        verify(wanted(place))


def test_a_run_that_is_not_there(place: Place) -> None:
    PublishedRun("a").put(place)
    with pytest.raises(JobError, match=r"run\.id=b: there is no such run") as caught:
        verify(wanted(place, "b"))
    assert caught.value.fix == "the latest are a"


def test_a_bucket_that_is_not_there(s3: S3) -> None:
    with pytest.raises(JobError, match=r"output\.path=s3://nowhere/x: cannot be read"):
        verify(Verification(output=OutputLocation("s3://nowhere/x", s3.options)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "status", "said"),
    [
        (["output.path=whole"], 0, "proven: 1 run\n"),
        (["output.path=damaged", "digest=false"], 1, "refuted: 1 finding"),
        (["output.path=nowhere"], 2, "output.path=nowhere: there are no runs below it"),
        ([], 2, "output.path: not given"),
        (["--help"], 0, "python -m jobs.verify output.path=PATH"),
    ],
)
def test_the_command_as_a_user_meets_it(overrides: list[str], status: int, said: str, tmp_path: Path) -> None:
    run = PublishedRun()
    run.put(local_place(tmp_path / "whole"))
    run.files[run.of("rows")[0]] = break_byte(run.files[run.of("rows")[0]], 9)
    run.put(local_place(tmp_path / "damaged"))
    done = commanded.run("verify", *overrides, folder=tmp_path)
    assert done.returncode == status, done.stderr
    assert said in (done.stderr if status == 2 else done.stdout)
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "whole"]


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS)
def test_what_storage_can_show_is_refuted(
    tamper: Tampering, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = PublishedRun("r1")
    tamper(run)
    run.put(local_place(tmp_path))
    PublishedRun("r2").put(local_place(tmp_path))
    assert verify(wanted(local_place(tmp_path))) is ExitStatus.FAILED
    said = capsys.readouterr().out
    assert "run r2: proven: " in said
    assert "0 findings" not in said


@pytest.mark.parametrize("name", ["rows", "runs/r1/manifest.json", "runs/r1/inventory", "rows/model=m0123456789abcde"])
def test_a_link_is_refuted_though_it_leads_to_the_same_bytes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = PublishedRun("r1")
    run.put(local_place(tmp_path / "out"))
    linked = tmp_path / "out" / (run.of("rows")[0] if name == "rows" else name)
    linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    assert verify(wanted(local_place(tmp_path / "out"))) is ExitStatus.FAILED
    assert "a symbolic link" in capsys.readouterr().out


def test_an_output_behind_a_link_is_proven(tmp_path: Path) -> None:
    PublishedRun("r1").put(local_place(tmp_path / "out"))
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert verify(wanted(local_place(tmp_path / "link"))) is ExitStatus.DONE


def test_a_manifest_is_held_against_a_digest_that_was_kept_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, run = local_place(tmp_path), PublishedRun("a")
    run.put(place)
    kept = hashlib.sha256(run.files["runs/a/manifest.json"]).hexdigest()
    asked = replace(wanted(place, "a"), verify=Expected(kept.upper()))
    assert verify(asked) is ExitStatus.DONE
    PublishedRun("a", bad=()).put(local_place(tmp_path / "forged"))
    asked = replace(wanted(local_place(tmp_path / "forged"), "a"), verify=Expected(kept))
    assert verify(asked) is ExitStatus.FAILED
    assert "run a: other manifest: runs/a/manifest.json: its SHA-256 is " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("run_id", "sha256", "said"),
    [(None, "0" * 64, "it is of one run, and run.id is not given"), ("a", "0" * 63, "not 64 hexadecimal digits")],
)
def test_a_digest_that_says_nothing(run_id: str | None, sha256: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=said):
        verify(replace(wanted(local_place(tmp_path), run_id), verify=Expected(sha256)))


def test_nothing_of_the_code_that_writes_runs_is_used() -> None:
    modules = [ROOT / "jobs/verify.py", *sorted((ROOT / "jobs/verification").glob("*.py"))]
    assert len(modules) > 10
    for module in modules:
        path = module.relative_to(ROOT).as_posix()
        names = {name for name, _, _ in find_imports(path, module.read_text())}
        used = {name for name in DRIVER if any(f"{found}.".startswith(f"{name}.") for found in names)}
        assert not used, path
