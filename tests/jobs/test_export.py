from __future__ import annotations

import json
from pathlib import Path

import commanded
import pytest
from bundles import export_job, export_sample, signals_kept, tiny_on_photos

import jobs.bundling.bundle as exporting
from actors.errors import JobError
from actors.models.bundle_files import RECORD
from actors.models.spec import Model
from jobs.bundling.forms import FormPlan, WrittenForm, write_form
from jobs.cli.entry import ExitStatus
from jobs.export import export


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


COMMON = {
    RECORD, "README.md", "golden/inputs.parquet", "golden/outputs.parquet", "labels.txt", "parity.json",
}  # fmt: skip


def test_the_sample_in_its_usual_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_sample(tmp_path / "bundle", "export.formats=[onnx,safetensors]") is ExitStatus.DONE
    assert files_of(tmp_path / "bundle") == {*COMMON, "model.onnx", "model.safetensors"}
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "bundle").iterdir()} == {0o644, 0o755}
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(tmp_path / "bundle")
    head = "form precision engine images largest diff mean diff flips images/s passed"
    assert " ".join(lines[0].split()) == head
    assert [line.split()[0] for line in lines[1:3]] == ["onnx", "safetensors"]
    assert all(line.endswith("yes") for line in lines[1:3])


def test_the_same_export_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_sample(tmp_path / name, "export.formats=[onnx,safetensors]")
    for name in files_of(tmp_path / "one") - {"parity.json", RECORD, "README.md"}:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    export_sample(tmp_path / "two", "export.formats=[onnx]")  # the same model: replaced
    assert files_of(tmp_path / "two") == {*COMMON, "model.onnx"}


def swapped(name: str, model: Model, folder: Path, plan: FormPlan, metadata: dict[str, str]) -> WrittenForm:
    preprocess = type(model.preprocess)(**{**vars(model.preprocess), "mean": model.preprocess.std, "std": [0.45] * 3})
    return write_form(name, Model(**{**vars(model), "preprocess": preprocess}), folder, plan, metadata)


def disturbed(name: str, model: Model, folder: Path, plan: FormPlan, metadata: dict[str, str]) -> WrittenForm:
    import torch  # noqa: PLC0415  of the fault alone

    weights = torch.load(model.checkpoint)
    weights["conv2.weight"][3] += 0.5
    torch.save(weights, folder.parent / "disturbed.pt")
    return write_form(
        name, Model(**{**vars(model), "checkpoint": str(folder.parent / "disturbed.pt")}), folder, plan, metadata
    )


@pytest.mark.parametrize("fault", [swapped, disturbed])
def test_a_form_that_was_made_wrong_is_not_written(
    fault: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = export_job(*tiny_on_photos(tmp_path), f"export.path={tmp_path / 'bundle'}", "export.formats=[onnx]")
    with signals_kept():
        monkeypatch.setattr(exporting, "write_form", fault)
        assert export(job) is ExitStatus.JOB_WRONG
        assert not (tmp_path / "bundle").exists()
        assert not list(tmp_path.glob(".bundle*"))
        assert "onnx fp32 failed: " in capsys.readouterr().out
        monkeypatch.setattr(exporting, "write_form", write_form)
        assert export(job) is ExitStatus.DONE


def test_the_forms_that_pass_are_written_and_the_status_says_that_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(name: str, *rest: object) -> WrittenForm:
        return (swapped if name == "onnx" else write_form)(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(exporting, "write_form", write)
    job = export_job(
        *tiny_on_photos(tmp_path), f"export.path={tmp_path / 'bundle'}", "export.formats=[onnx,safetensors]"
    )
    with signals_kept():
        assert export(job) is ExitStatus.JOB_WRONG
    assert files_of(tmp_path / "bundle") == {*COMMON - {"labels.txt"}, "model.safetensors"}
    parity = json.loads((tmp_path / "bundle" / "parity.json").read_text())
    assert [(row["form"], row["passed"]) for row in parity] == [("onnx", False), ("safetensors", True)]


def test_the_bundle_of_another_model_and_other_files_are_kept(tmp_path: Path) -> None:
    export_sample(tmp_path / "bundle", "export.formats=[safetensors]")
    other = ("export.formats=[safetensors]", "model.preprocess.std=[0.4,0.4,0.4]")
    with pytest.raises(JobError, match=r"export\.path=.*bundle of another model"):
        export_sample(tmp_path / "bundle", *other)
    assert export_sample(tmp_path / "bundle", *other, "export.overwrite=true") is ExitStatus.DONE
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(JobError, match="files other than a bundle"):
        export_sample(tmp_path / "mine", *other, "export.overwrite=true")
    assert files_of(tmp_path / "mine") == {"thesis.txt"}


@pytest.mark.parametrize(
    ("overrides", "status", "said"),
    [
        (["--help"], 0, "python -m jobs.export +dataset=NAME export.path=DIR"),
        (["+dataset=sample", "export.path=b", "export.half=true"], 2, "write export.precision=fp16"),
        (["+dataset=sample"], 2, "export.path: not given"),
    ],
)
def test_the_command_as_a_user_meets_it(overrides: list[str], status: int, said: str, tmp_path: Path) -> None:
    done = commanded.run("export", *overrides, folder=tmp_path)
    assert done.returncode == status, done.stderr
    assert said in (done.stderr if status else done.stdout)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
