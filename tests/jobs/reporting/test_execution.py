"""Plan, engine and pace of a run in ``report.json``."""

from __future__ import annotations

import json

from actors.engines.configs import OpenVinoEngineConfig, Precision
from actors.tracking.progress_counts import Pace
from jobs.planning.engine_cache import Choice
from jobs.planning.planner import Plan
from jobs.reporting.execution import Execution

PLAN = Plan(
    is_fused=True, workers=2, worker_cpus=0.99, worker_gpus=0, read_cpus=0, writers=2, batch_size=32, piece_rows=96,
    rows_per_part=100, block_bytes=4, threads=1,
)  # fmt: skip


def test_json_has_plan_choice_engine_pace_and_cpus() -> None:
    choice = Choice(OpenVinoEngineConfig(precision=Precision.fp32), "named", [], 0)
    execution = Execution(PLAN, choice, {"engine": "openvino"}, Pace(8, 2.0), 2.0)
    content = json.loads(json.dumps(execution.to_json()))
    assert content["plan"]["workers"] == 2
    assert content["choice"]["engine"]["precision"] == "fp32"
    assert content["engine"] == {"engine": "openvino"}
    assert content["pace"] == {"num_images": 8, "seconds": 2.0, "images_per_s": 4.0}
    assert content["cpus"] == 2.0
