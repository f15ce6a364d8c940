from __future__ import annotations

from pathlib import Path

import pytest
from finished import CHECKED, STORAGE

from actors.engines.configs import AutoEngineConfig, OpenVinoEngineConfig, Precision, TorchEngineConfig
from actors.engines.hardware import hardware
from actors.models.spec import Model
from actors.tasks.classify import Classify
from actors.trials.comparison import Trial
from actors.writing.run_paths import RunPaths
from jobs.batch_infer import batch_infer
from jobs.cli.entry import ExitStatus
from jobs.cluster.config import Cluster
from jobs.cluster.resources import Resources
from jobs.config import compose_config, to_benchmark_job
from jobs.job import Job
from jobs.planning.dry_run import Forecast, forecast, resources_for
from jobs.planning.engine_cache import Choice, KeptChoice, choice_key
from jobs.schemas import compose_verb

TWO = Resources(cpus=2.0, gpus=0.0)
KEPT = OpenVinoEngineConfig(precision=Precision.fp32)


def job(**changes: object) -> Job:
    settings = {"engine": AutoEngineConfig(), "task": Classify(), "model": Model("m:Net", checkpoint="x.pt"), **changes}
    return Job(**settings)  # type: ignore[arg-type]


def foreseen(wanted: Job, num_images: int, root: Path) -> Forecast:
    return forecast(wanted, CHECKED, num_images, TWO, (RunPaths(str(root), "mabc", ""), STORAGE))


def test_a_small_job_runs_the_reference_and_a_large_one_names_what_it_will_try(tmp_path: Path) -> None:
    small = foreseen(job(), 100, tmp_path)
    assert (small.choice.engine.label, small.rivals) == ("torch fp32", [])
    large = foreseen(job(cluster=Cluster(price_per_hour=3.6)), 1_000_000, tmp_path)
    assert large.plan.workers == 2
    assert large.rivals
    assert large.work_s == pytest.approx(1_000_000 * 0.003 / 2)  # 1 ms for the model, 2 ms for decoding
    lines = dict(large.lines(job(cluster=Cluster(price_per_hour=3.6))))
    assert lines["time"].startswith("at most about 25 min 00 s of work")
    assert lines["price"].startswith("at most about 1.50, at 3.60 an hour")


def test_an_engine_that_earlier_runs_found_is_taken_with_its_speed(tmp_path: Path) -> None:
    first = foreseen(job(), 1_000_000, tmp_path)
    key = choice_key(AutoEngineConfig(threads=first.plan.threads), first.plan)
    kept = KeptChoice(RunPaths(str(tmp_path), "mabc", ""), STORAGE, key, hardware(with_gpu=False))
    kept.write(Choice(KEPT, "the fastest of 2", [Trial("torch fp32", 1000.0), Trial(KEPT.label, 4000.0)], 256))
    again = foreseen(job(), 1_000_000, tmp_path)
    assert again.choice.engine.label == "openvino fp32"
    assert again.rivals == []
    assert again.work_s < first.work_s


def test_a_named_engine_is_not_second_guessed(tmp_path: Path) -> None:
    named = foreseen(job(engine=TorchEngineConfig()), 1_000_000, tmp_path)
    assert (named.choice.why, named.rivals) == ("named", [])


def test_this_machine_is_known_without_starting_ray() -> None:
    assert resources_for(Cluster(), verbose=False).cpus >= 1
    assert resources_for(Cluster(drivers=2), verbose=False).cpus == resources_for(Cluster(), verbose=False).cpus / 2


@pytest.mark.slow
def test_the_sample_is_planned_and_nothing_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["+dataset=sample", f"output.path={tmp_path}/out", "run.plan_only=true"]
    wanted = compose_config("batch_infer", overrides).wanted
    assert batch_infer(wanted) is ExitStatus.DONE
    printed = capsys.readouterr().out
    assert "1,797 to do in a new run" in printed
    assert printed.splitlines()[-1] == f"{tmp_path}/out"
    assert list(tmp_path.iterdir()) == []


def test_other_verbs_make_no_plan() -> None:
    config = compose_verb("benchmark", ["+dataset=sample", "run.plan_only=true"])
    with pytest.raises(Exception, match=r"run\.plan_only=true: jobs\.benchmark makes no plan"):
        to_benchmark_job(config)
