from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from networks import tiny
from onnx_models import save_onnx
from overlapping import Overlapping
from pressed import LOST, images, pressed, save_pressed

from actors.device_errors import DeviceLostError
from actors.engines.base import Engine, Pending, load_engine
from actors.engines.configs import Device, OnnxEngineConfig, TorchEngineConfig
from actors.errors import JobError
from actors.models.spec import Model
from actors.predicting.adaptive_batches import ElasticBatches
from actors.preprocess import Preprocess

if TYPE_CHECKING:
    from pathlib import Path

CPU = TorchEngineConfig(device=Device.cpu, threads=1)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = load_engine(CPU, save_pressed(tmp_path))
    pressed(engine).batches.clear()
    return engine


def predict(
    batches: ElasticBatches, pixels: np.ndarray, *rows: int
) -> tuple[np.ndarray | None, dict[int, tuple[str, str]]]:
    """Predicts all images or those at ``rows``; returns the output, and the kinds and messages of errors."""
    outputs, errors = batches(pixels, np.array(rows or range(len(pixels))))
    assert {error.stage for error in errors.values()} <= {"predict"}
    return outputs.get("output"), {row: (error.kind, error.message) for row, error in errors.items()}


def without(number: int, *rows: int) -> list[int]:
    return [row for row in range(number) if row not in rows]


def test_every_batch_has_the_size_and_blank_images_leave_no_trace(engine: Engine) -> None:
    found, errors = predict(ElasticBatches(engine, 8), images(20))
    assert pressed(engine).batches == [8, 8, 8]
    np.testing.assert_allclose(found, engine(images(20))["output"], atol=1e-6)
    assert errors == {}


def test_without_a_size_batches_are_what_comes(engine: Engine) -> None:
    found, _ = predict(ElasticBatches(engine), images(5), 0, 3)
    assert pressed(engine).batches == [2]
    np.testing.assert_array_equal(found, engine(images(5)[[0, 3]])["output"])


def test_no_rows_are_no_batch(engine: Engine) -> None:
    assert ElasticBatches(engine, 8)(images(3), np.array([], int)) == ({}, {})
    assert pressed(engine).batches == []


@pytest.mark.parametrize("kind", ["torch", "onnxruntime"])
@pytest.mark.parametrize("batch_size", [1, 7, 16])
def test_an_answer_is_the_same_bit_for_bit_in_any_batch(tmp_path: Path, kind: str, batch_size: int) -> None:
    torch.manual_seed(0)
    if kind == "torch":
        torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
        model = Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"), preprocess=Preprocess(resize=32, crop=32))
        batches = ElasticBatches(load_engine(CPU, model), batch_size)
    else:
        save_onnx(tiny(), tmp_path / "tiny.onnx")
        model = Model(checkpoint=str(tmp_path / "tiny.onnx"), preprocess=Preprocess(resize=32, crop=32))
        batches = ElasticBatches(load_engine(OnnxEngineConfig(device=Device.cpu, threads=1), model), batch_size)
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    (whole,) = batches(pixels, np.arange(40))[0].values()
    for number in range(1, 41, 3):
        rows = np.sort(chance.choice(40, number, replace=False))
        np.testing.assert_array_equal(*batches(pixels, rows)[0].values(), whole[rows])
        np.testing.assert_array_equal(*batches(pixels[-number:], np.arange(number))[0].values(), whole[-number:])


def test_what_does_not_fit_is_halved_and_stays_so(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    plain = engine(images(40))["output"]
    pressed(engine).most, pressed(engine).batches = 5, []
    batches = ElasticBatches(engine, 32)
    with caplog.at_level(logging.WARNING, "shardlens"):
        found, errors = predict(batches, images(20))
    assert pressed(engine).batches == [32, 16, 8, 4, 4, 4, 4, 4]
    np.testing.assert_allclose(found, plain[:20], atol=1e-6)
    assert errors == {}
    assert [record.getMessage() for record in caplog.records] == [
        f"{size} images at a time do not fit into the memory of the cpu; continuing with {size // 2}"
        for size in (32, 16, 8)
    ]
    pressed(engine).batches.clear()
    found, _ = predict(batches, images(40), 38, 39)
    np.testing.assert_allclose(found, plain[38:], atol=1e-6)
    assert pressed(engine).batches == [4]


def test_batches_grow_back_when_there_is_room_again(engine: Engine) -> None:
    batches = ElasticBatches(engine, 16)
    pressed(engine).most = 4
    predict(batches, images(4))
    pressed(engine).most, pressed(engine).batches = 1000, []
    for _ in range(18):
        predict(batches, images(4))
    assert pressed(engine).batches == [4] * 7 + [8] * 8 + [16] * 3


def test_each_vain_try_to_grow_doubles_the_wait_for_the_next(engine: Engine) -> None:
    batches = ElasticBatches(engine, 8)
    pressed(engine).most = 4
    for _ in range(8 + 16 + 32 + 1):
        predict(batches, images(4))
    assert pressed(engine).batches == [8, *[4] * 8, 8, *[4] * 16, 8, *[4] * 32, 8, 4]


def test_long_calm_makes_the_wait_short_again(engine: Engine) -> None:
    batches = ElasticBatches(engine, 8)
    pressed(engine).most = 4
    for _ in range(8 + 16):
        predict(batches, images(4))
    pressed(engine).most = 8
    for _ in range(32 + 32):
        predict(batches, images(4))
    pressed(engine).most, pressed(engine).batches = 4, []
    for _ in range(9):
        predict(batches, images(4))
    assert pressed(engine).batches == [8, *[4] * 8, 8, 4]


@pytest.mark.parametrize("greedy", [(0,), (5,), (31,), (3, 4, 20)])
@pytest.mark.parametrize("batch_size", [32, None])
def test_an_image_that_exceeds_the_memory_is_found(
    engine: Engine, greedy: tuple[int, ...], batch_size: int | None
) -> None:
    batches = ElasticBatches(engine, batch_size)
    predict(batches, images(32))
    found, errors = predict(batches, images(32, greedy=greedy))
    message = "does not fit into memory, even alone: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert errors == dict.fromkeys(greedy, ("out_of_memory", message))
    good = without(32, *greedy)
    np.testing.assert_allclose(found, engine(images(32))["output"][good], atol=1e-6)
    pressed(engine).batches.clear()
    predict(batches, images(32))
    assert pressed(engine).batches == [32]  # the others fit


@pytest.mark.parametrize("wrong", [(0,), (13,), (31,), (1, 2, 3), tuple(range(7, 32))])
def test_an_image_that_the_network_refuses_is_found_and_its_neighbours_keep_their_bits(
    engine: Engine, wrong: tuple[int, ...]
) -> None:
    batches = ElasticBatches(engine, 16)
    whole, _ = predict(batches, images(32))
    found, errors = predict(batches, images(32, wrong=wrong))
    assert errors == dict.fromkeys(wrong, ("failed", "ValueError: found no box"))
    assert whole is not None
    np.testing.assert_array_equal(found, whole[without(32, *wrong)])
    assert set(pressed(engine).batches) == {16}


def test_both_kinds_of_bad_images_and_little_room_at_once(engine: Engine) -> None:
    plain = engine(images(50))["output"]
    pressed(engine).most = 6
    found, errors = predict(ElasticBatches(engine, 32), images(50, greedy=(4, 30), wrong=(5, 6, 49)))
    assert {row: kind for row, (kind, _) in errors.items()} == {
        4: "out_of_memory",
        5: "failed",
        6: "failed",
        30: "out_of_memory",
        49: "failed",
    }
    np.testing.assert_allclose(found, plain[without(50, *errors)], atol=1e-6)


def test_a_model_that_does_not_fit_is_reported_after_three_images(engine: Engine) -> None:
    pressed(engine).most = 0
    batches = ElasticBatches(engine, 4)
    with pytest.raises(JobError, match=r"does not fit into the memory of its device: CUDA.*\n  fix: .*precision"):
        predict(batches, images(20))
    assert pressed(engine).batches == [4, 2, 1] * 3


def test_a_model_that_always_fails_raises_its_own_exception(engine: Engine) -> None:
    pressed(engine).says = "mat1 and mat2 shapes cannot be multiplied"
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        predict(ElasticBatches(engine, 16), images(20))
    assert len(pressed(engine).batches) < 20


def test_a_few_bad_images_may_come_first(engine: Engine) -> None:
    batches = ElasticBatches(engine, 8)
    assert predict(batches, images(1, wrong=(0,)))[0] is None
    found, errors = predict(batches, images(8, greedy=(0, 1), wrong=(2, 3)))
    assert list(errors) == [0, 1, 2, 3]
    np.testing.assert_allclose(found, engine(images(8))["output"][4:], atol=1e-6)


def test_once_images_went_through_no_number_of_failures_raises(engine: Engine) -> None:
    batches = ElasticBatches(engine, 8)
    predict(batches, images(1))
    bad = tuple(range(20))
    assert len(predict(batches, images(20, wrong=bad))[1]) == 20
    assert len(predict(batches, images(20, greedy=bad))[1]) == 20


def test_a_failed_attempt_holds_no_memory_when_the_next_begins(engine: Engine) -> None:
    pressed(engine).most = 2
    predict(ElasticBatches(engine, 32), images(32, greedy=(7,)))
    assert len(pressed(engine).batches) > 16
    assert pressed(engine).num_held == 0


def test_a_lost_device_is_not_blamed_on_an_image(engine: Engine) -> None:
    pressed(engine).says = LOST
    with pytest.raises(DeviceLostError, match="CUDA error: device-side assert triggered"):
        predict(ElasticBatches(engine, 16), images(20))
    assert len(pressed(engine).batches) == 1


@pytest.fixture(params=["when it is started", "when its result is asked for"])
def overlapping(engine: Engine, request: pytest.FixtureRequest) -> Overlapping:
    """Returns an engine that computes, and fails, at one of the two times."""
    return Overlapping(engine, is_late="result" in request.param)


@pytest.mark.parametrize("batch_size", [1, 7, 16, 40, 64, None])
def test_answers_of_an_engine_that_overlaps_are_the_same_bit_for_bit(
    engine: Engine, overlapping: Overlapping, batch_size: int | None
) -> None:
    chance = np.random.default_rng(0)
    for number in (1, 2, 16, 33, 40):
        rows = np.sort(chance.choice(40, number, replace=False))
        wanted, _ = ElasticBatches(engine, batch_size)(images(40), rows)
        found, errors = ElasticBatches(overlapping, batch_size)(images(40), rows)
        np.testing.assert_array_equal(found["output"], wanted["output"])
        assert errors == {}
        chunks = [images(40)[:16], images(40)[16:32], images(40)[32:]]
        found, _ = ElasticBatches(overlapping, batch_size)(chunks, rows)
        np.testing.assert_array_equal(found["output"], wanted["output"])
    assert overlapping.num_pending == 0


def test_the_next_batch_is_on_its_way_before_the_outputs_of_one_are_taken(overlapping: Overlapping) -> None:
    predict(ElasticBatches(overlapping, 8), images(20))
    assert overlapping.log == ["start 0", "start 1", "result 0", "start 2", "result 1", "result 2"]


def test_an_engine_that_does_not_overlap_gets_one_batch_at_a_time(overlapping: Overlapping) -> None:
    overlapping.overlaps = False
    predict(ElasticBatches(overlapping, 8), images(20))
    assert overlapping.log == ["start 0", "result 0", "start 1", "result 1", "start 2", "result 2"]


@pytest.mark.parametrize(("greedy", "wrong"), [((), ()), ((20,), ()), ((), (25,)), ((4, 30, 49), (0, 5, 6))])
@pytest.mark.parametrize(("batch_size", "most"), [(16, 1000), (16, 6), (7, 1), (None, 20)])
def test_an_engine_that_overlaps_gives_the_same_answers_and_errors_when_batches_fail(
    engine: Engine,
    overlapping: Overlapping,
    greedy: tuple[int, ...],
    wrong: tuple[int, ...],
    batch_size: int | None,
    most: int,
) -> None:
    pressed(engine).most = most
    pixels = images(50, greedy=greedy, wrong=wrong)
    wanted, errors = predict(ElasticBatches(engine, batch_size), pixels)
    found, same_errors = predict(ElasticBatches(overlapping, batch_size), pixels)
    assert same_errors == errors
    assert errors.keys() == {*greedy, *wrong}
    assert wanted is not None
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert overlapping.num_pending == 0
    assert overlapping.most_pending <= 2


@pytest.mark.parametrize("bad", [{"greedy": (20,)}, {"wrong": (20,)}])
def test_only_failures_alone_count_against_the_size_or_an_image(
    engine: Engine, overlapping: Overlapping, bad: dict[str, tuple[int, ...]]
) -> None:
    """The third batch fails while the second is in flight and is retried after it."""
    predict(ElasticBatches(overlapping, 8), images(40, **bad))
    is_late = overlapping.is_late
    before = ["start 0", "start 1", "result 0", "start 2", "result 1"]
    beside = ["start 3", "result 2"] if is_late else []
    again = 4 if is_late else 3
    alone = [f"start {again}", f"result {again}"] if is_late else [f"start {again}", f"start {again + 1}"]
    assert overlapping.log[: len(before + beside + alone)] == before + beside + alone
    assert pressed(engine).batches[:2] == [8, 8]
    assert overlapping.num_pending == 0


def test_two_batches_that_exceed_the_memory_together_run_one_after_the_other(engine: Engine) -> None:
    class Narrow(Overlapping):
        def start(self, pixels_nhwc: np.ndarray) -> Pending:
            if self.num_pending:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return super().start(pixels_nhwc)

    narrow = Narrow(engine, is_late=False)
    found, errors = predict(ElasticBatches(narrow, 8), images(20))
    np.testing.assert_array_equal(found, predict(ElasticBatches(engine, 8), images(20))[0])
    assert errors == {}
    assert narrow.log == ["start 0", "result 0", "start 1", "result 1", "start 2", "result 2"]


def test_an_engine_that_overlaps_grows_back_and_keeps_the_order(engine: Engine, overlapping: Overlapping) -> None:
    batches = ElasticBatches(overlapping, 16)
    pressed(engine).most = 4
    predict(batches, images(4))
    pressed(engine).most, pressed(engine).batches = 1000, []
    found, _ = predict(batches, images(100))
    np.testing.assert_allclose(found, engine.start(images(100)).result()["output"], atol=1e-6)
    assert pressed(engine).batches[:-1] == [4] * 8 + [8] * 8 + [16]


def test_an_engine_that_overlaps_tells_of_a_lost_device_at_once(engine: Engine, overlapping: Overlapping) -> None:
    batches = ElasticBatches(overlapping, 8)
    predict(batches, images(8))
    pressed(engine).says, pressed(engine).batches = LOST, []
    with pytest.raises(DeviceLostError, match="CUDA error: device-side assert triggered"):
        predict(batches, images(40))
    assert len(pressed(engine).batches) == 1


def test_a_model_that_always_fails_raises_its_own_exception_where_batches_overlap(
    engine: Engine, overlapping: Overlapping
) -> None:
    pressed(engine).says = "mat1 and mat2 shapes cannot be multiplied"
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        predict(ElasticBatches(overlapping, 16), images(40))
    pressed(engine).says, pressed(engine).most = "", 0
    with pytest.raises(JobError, match="does not fit into the memory of its device"):
        predict(ElasticBatches(overlapping, 4), images(40))


def test_a_batch_that_failed_during_another_holds_no_memory_when_the_next_begins(
    engine: Engine, overlapping: Overlapping
) -> None:
    pressed(engine).most = 2
    predict(ElasticBatches(overlapping, 8), images(32, greedy=(7,)))
    assert pressed(engine).num_held == 0


UNDER_PRESSURE = """
import logging, resource, sys
from pathlib import Path
import numpy as np, torch
from networks import tiny
from onnx_models import save_onnx
from overlapping import Overlapping
from actors.predicting.adaptive_batches import ElasticBatches
from actors.engines.base import load_engine
from actors.engines.configs import Device, OnnxEngineConfig, TorchEngineConfig
from actors.models.spec import Model
from actors.preprocess import Preprocess

logging.basicConfig(format="%(message)s")
folder, size = Path(sys.argv[2]), Preprocess(resize=32, crop=32)
torch.manual_seed(0)
if sys.argv[1] == "torch":
    torch.save(tiny().state_dict(), folder / "tiny.pt")
    model, config = Model("networks:tiny", checkpoint=str(folder / "tiny.pt"), preprocess=size), TorchEngineConfig
else:
    save_onnx(tiny(), folder / "tiny.onnx")
    model, config = Model(checkpoint=str(folder / "tiny.onnx"), preprocess=size), OnnxEngineConfig
engine = load_engine(config(device=Device.cpu, threads=1), model)
pixels = np.random.default_rng(0).integers(0, 256, (2048, 32, 32, 3), dtype=np.uint8)
few = np.concatenate([*engine(pixels[:64]).values(), *engine(pixels[-64:]).values()])
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (24 << 20),) * 2)
outputs, errors = ElasticBatches(engine, 2048)(pixels, np.arange(2048))
(found,) = outputs.values()
np.testing.assert_allclose(np.concatenate([found[:64], found[-64:]]), few, atol=1e-6)
assert len(found) == 2048 and not errors
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space of a process as Linux can")
@pytest.mark.parametrize("engine_name", ["torch", "onnxruntime"])
def test_memory_that_is_really_short_is_noticed(engine_name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNDER_PRESSURE, engine_name, tmp_path],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("2048 images at a time do not fit into the memory of the cpu; continuing with 1024\n")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_that_is_really_short_of_memory_gives_the_same_answers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
    model = Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"), preprocess=Preprocess(resize=224, crop=224))
    engine = load_engine(TorchEngineConfig(device=Device.cuda), model)
    pixels = np.random.default_rng(0).integers(0, 256, (256, 224, 224, 3), dtype=np.uint8)
    plain = engine(pixels)["output"]
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved() + (200 << 20)  # a batch of 256 needs more than 600 MB
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.get_device_properties(0).total_memory)
    try:
        outputs, errors = ElasticBatches(engine, 256)(pixels, np.arange(256))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert errors == {}
    np.testing.assert_allclose(outputs["output"], plain, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("batch_size", [32, None])
def test_a_gpu_on_which_batches_overlap_gives_the_same_answers(tmp_path: Path, batch_size: int | None) -> None:
    torch.manual_seed(0)
    torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
    model = Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"), preprocess=Preprocess(resize=224, crop=224))
    engine = load_engine(TorchEngineConfig(device=Device.cuda), model)
    assert engine.overlaps
    pixels = np.random.default_rng(0).integers(0, 256, (200, 224, 224, 3), dtype=np.uint8)
    outputs, _ = ElasticBatches(engine, batch_size)(pixels, np.arange(200))
    engine.overlaps = False
    wanted, _ = ElasticBatches(engine, batch_size)(pixels, np.arange(200))
    np.testing.assert_array_equal(outputs["output"], wanted["output"])
