from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pytest
from overlapping import Overlapping
from pressed import LOST, images, pressed, save_pressed

from actors.device_errors import DeviceLostError
from actors.engines.base import Engine, Pending, load_engine
from actors.engines.configs import Device, TorchEngineConfig
from actors.errors import JobError
from actors.predicting.double_buffering import overlapped

WHEN = ["when it is started", "when its result is asked for"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load_engine(TorchEngineConfig(device=Device.cpu, threads=1), save_pressed(tmp_path_factory.mktemp("model")))


@pytest.fixture(params=WHEN)
def engine(plain: Engine, request: pytest.FixtureRequest) -> Overlapping:
    pressed(plain).most, pressed(plain).says = 1000, ""
    return Overlapping(plain, is_late=request.param == WHEN[1])


def run(engine: Overlapping, batches: list[np.ndarray]) -> list[tuple[int, np.ndarray]]:
    """Returns the numbers of the batches that succeeded, with their outputs."""
    numbered = overlapped(lambda one: engine.start(one[1]), enumerate(batches))
    return [(number, outputs["output"]) for (number, _), outputs in numbered]


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_the_next_batch_is_started_before_the_result_of_one_is_taken(engine: Overlapping, number: int) -> None:
    batches = [images(4) + np.uint8(place) for place in range(number)]
    found = run(engine, batches)
    assert [place for place, _ in found] == list(range(number))
    for (_, output), batch in zip(found, batches, strict=True):
        np.testing.assert_array_equal(output, engine.engine(batch)["output"])
    steps = [
        ("start", place, 2 * place - 1) for place in range(number)
    ]  # start 0, start 1, result 0, start 2, result 1
    steps += [("result", place, 2 * place + 2) for place in range(number)]
    steps.sort(key=lambda step: step[2])
    assert engine.log == [f"{what} {place}" for what, place, _ in steps]
    assert engine.most_pending <= 2
    assert engine.num_pending == 0


def test_batches_are_made_when_they_are_started(engine: Overlapping) -> None:
    made = []

    def batches() -> Iterator[np.ndarray]:
        for number in range(3):
            made.append(number)
            yield images(2)

    results = overlapped(engine.start, batches())
    assert made == []
    next(results)
    assert made == [0, 1]


@pytest.mark.parametrize("place", [0, 1, 2, 3])
@pytest.mark.parametrize("trouble", ["greedy", "wrong"])
def test_it_ends_before_the_first_that_fails_and_nothing_stays(
    engine: Overlapping, place: int, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    batches = [images(4) for _ in range(4)]
    batches[place] = images(4, **{trouble: (2,)})
    with caplog.at_level(logging.INFO, "shardlens"):
        found = run(engine, batches)
    assert [number for number, _ in found] == list(range(place))
    assert engine.num_pending == 0
    assert f"result {place + 1}" not in engine.log
    assert ["continuing one at a time" in record.getMessage() for record in caplog.records] == [True]


def test_a_lost_device_is_reported_at_once(engine: Overlapping) -> None:
    batches = overlapped(engine.start, iter([images(4)] * 3))
    next(batches)
    pressed(engine.engine).says = LOST
    with pytest.raises(DeviceLostError, match="device-side assert"):
        list(batches)


def test_a_wrong_job_is_reported() -> None:
    def start(_: np.ndarray) -> Pending:
        raise JobError("the model's output has the wrong shape", fix="another one")

    with pytest.raises(JobError, match="wrong shape"):
        next(overlapped(start, iter([images(1)])))
