from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import jobs
from jobs.cli.main import COMPLETION, verbs
from jobs.config import VERBS

DISPATCH = "from jobs.cli.main import main; main()"


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DISPATCH, *arguments]
    variables = {**os.environ, "PYTHONPATH": str(Path(jobs.__file__).parents[1])}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=120, check=False)


def test_help_lists_each_verb_with_a_line() -> None:
    assert {*(name.replace("_", "-") for name in VERBS), "runs"} <= set(verbs())
    assert all(about and not about.endswith(".") for about in verbs().values())
    text = run("--help").stdout
    assert text == run().stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "\n  verify       Proves or refutes" in text


def test_an_unknown_verb_has_a_near_match() -> None:
    done = run("batchinfer")
    assert done.returncode == 2
    assert "did you mean batch-infer?" in done.stderr


def test_a_verb_runs_as_with_python_and_finds_modules_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/__init__.py").touch()  # a user's own package must not hide our files
    (tmp_path / "mine.py").write_text("raise SystemExit('found')")
    arguments = ("+dataset=sample", "model=custom", "model.architecture=mine:Net", "model.checkpoint=a.pt")
    done = run("batch-infer", *arguments, "--dry-run", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "a.pt" in done.stderr
    assert run("verify", cwd=tmp_path).stderr.startswith("error: output.path: not given")


def test_it_costs_no_time() -> None:
    code = f"import sys; sys.argv[1:] = ['--verbs']; {DISPATCH}; print(len(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout.splitlines()[-1]) < 150
    assert "batch-infer" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("shardlens ba", {"batch-infer"}),
        ("shardlens batch-infer task=cl", {"task=classify"}),
        ("shardlens batch-infer +dataset=sample run.pl", {"run.plan_only="}),
        ("shardlens batch-infer dataset.path=shard", {"dataset.path=shardlens"}),
    ],
)
def test_bash_completes_verbs_choices_keys_and_paths(line: str, expected: set[str], tmp_path: Path) -> None:
    script = tmp_path / "shardlens"
    script.write_text(f"#!{sys.executable}\n{DISPATCH}\n")
    script.chmod(0o755)
    words = line.split(" ")
    typed = f"""{COMPLETION}
COMP_LINE={line!r} COMP_POINT={len(line)} COMP_WORDS=({" ".join(map(repr, words))}) COMP_CWORD={len(words) - 1}
_shardlens; printf '%s\\n' "${{COMPREPLY[@]}}" """
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    variables["PYTHONPATH"] = str(Path(jobs.__file__).parents[1])
    done = subprocess.run(
        ["bash", "-c", typed], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120, check=True
    )
    assert expected <= set(done.stdout.split()), done


def test_no_module_hides_one_of_python_when_a_verb_is_run_as_a_file() -> None:
    folder = Path(jobs.__file__).parent
    names = {path.stem for path in folder.iterdir()}
    assert "batch_infer" in names
    assert names.isdisjoint(sys.stdlib_module_names)
