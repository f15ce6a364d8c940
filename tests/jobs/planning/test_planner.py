from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from actors.decoding.config import Decode, DecodeDevice
from actors.engines.configs import Device, EngineConfig, OnnxEngineConfig, Provider, TorchEngineConfig
from actors.errors import JobError
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.row_ranges import Piece
from actors.tasks.classify import Classify
from actors.tasks.detect import Detect
from actors.tasks.detection.tile import Tile
from actors.trials.engine_trial import Rates
from actors.trials.sampling import Costs
from jobs.cluster.config import Cluster
from jobs.cluster.resources import Resources
from jobs.job import Job, Output
from jobs.planning.calibration import Calibration
from jobs.planning.planner import WRITE_CPUS, Load, Plan, batch_sizes, make_plan, usual_inputs
from jobs.runs.number_checks import check_numbers


def plan(
    cpus: float, gpus: float = 0, *, job: Job | None = None, fields: tuple[pa.Field, ...] = (), num_images: int = 10**7
) -> Plan:
    return make_plan(job or a_job(), Resources(cpus, gpus), fields, Load(num_images, 1))


def a_job(**changes: object) -> Job:
    settings = {"engine": TorchEngineConfig(), "task": Classify(), "model": Model(preprocess=Preprocess()), **changes}
    return Job(**settings)


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 7, 16, 64])
@pytest.mark.parametrize("workers", ["auto", 1, 2, 5, 100])
def test_writing_always_finds_a_cpu(cpus: int, workers: int | str) -> None:
    made = plan(cpus, job=a_job(cluster=Cluster(workers=workers)))
    assert made.workers * made.worker_cpus + made.writers * WRITE_CPUS <= cpus + 1e-9
    assert made.worker_cpus > 0
    assert made.worker_cpus < 1 or made.worker_cpus == int(made.worker_cpus)
    assert made.writers >= 1
    assert plan(cpus, 1).writers == 2  # with separate read tasks


@pytest.mark.parametrize("workers_per_gpu", [1, 3])
@pytest.mark.parametrize("cpus_per_worker", [1, 4])
@pytest.mark.parametrize(
    "nodes",
    [
        [(1, 1)],
        [(2, 1)],
        [(3, 8)],
        [(16, 4)],
        [(64, 8)],
        [(1, 1), (1, 1)],  # as much in total as the next, but no room for a whole CPU on either
        [(2, 2)],
        [(0, 0), (4, 4), (4, 4)],  # a head that does no work
        [(8, 1), (16, 0), (2, 2)],
    ],
)
def test_beside_actors_with_gpus_reading_finds_its_cpus_on_one_node(
    nodes: list[tuple[int, int]], cpus_per_worker: int, workers_per_gpu: int
) -> None:
    each = tuple(Resources(cpus, gpus) for cpus, gpus in nodes)
    resources = Resources(sum(one.cpus for one in each), sum(one.gpus for one in each), nodes=each)
    job = a_job(cluster=Cluster(cpus_per_worker=cpus_per_worker, workers_per_gpu=workers_per_gpu))
    made = make_plan(job, resources, [], Load(10**7, 1))
    assert made.workers == resources.gpus * workers_per_gpu
    assert made.workers * made.worker_gpus == pytest.approx(resources.gpus, rel=1e-3)
    assert 0 < made.worker_cpus <= cpus_per_worker
    assert 0 < made.read_cpus <= 1
    left = [one.cpus - one.gpus * workers_per_gpu * made.worker_cpus for one in each]
    assert min(left) >= 0
    assert max(left) >= made.read_cpus + made.writers * WRITE_CPUS - 1e-9
    assert sum(left) >= resources.cpus / 2 - 1e-9, "half is for reading and decoding"
    assert made.fits(resources)


def test_a_cluster_that_lost_all_its_nodes() -> None:
    with pytest.raises(JobError, match="the cluster has no CPUs now"):
        plan(0)


@pytest.mark.parametrize("cpus", [1, 2, 3, 16])
def test_a_plan_fits_what_it_was_made_for_and_nothing_smaller(cpus: float) -> None:
    assert plan(cpus).fits(Resources(cpus, 0))
    assert not plan(cpus).fits(Resources(cpus / 2, 0))
    assert plan(16, 2).fits(Resources(16, 2))
    assert not plan(16, 2).fits(Resources(16, 1))


def test_auto_takes_one_worker_a_gpu() -> None:
    assert (plan(16, 4).workers, plan(16, 4).worker_gpus) == (4, 1)
    assert (plan(16, 0).workers, plan(16, 0).worker_gpus) == (16, 0)
    assert (plan(16, 4).is_fused, plan(16, 4).read_cpus) == (False, 1)
    assert (plan(16, 0).is_fused, plan(16, 0).read_cpus) == (True, 0)
    assert plan(16, job=a_job(cluster=Cluster(cpus_per_worker=4))).workers == 4


def test_where_gpus_decode_actors_do_all() -> None:
    job = a_job(decode=Decode(device=DecodeDevice.gpu))
    assert (plan(16, 4, job=job).is_fused, plan(16, 4, job=job).read_cpus) == (True, 0)
    assert (plan(16, 4, job=job).workers, plan(16, 4, job=job).worker_gpus) == (4, 1)
    with pytest.raises(JobError, match=r"decode\.device=gpu: the job has no GPU"):
        plan(16, 0, job=job)
    with pytest.raises(JobError, match=r"decode\.device=gpu: the job has no GPU"):
        plan(16, 4, job=a_job(decode=job.decode, engine=TorchEngineConfig(device=Device.cpu)))


@pytest.mark.parametrize(("num_images", "image_s", "workers"), [(1_797, 5e-4, 1), (600, 0.05, 12), (10**6, 0.001, 16)])
def test_a_small_job_starts_few_workers(num_images: int, image_s: float, workers: int) -> None:
    made = make_plan(a_job(), Resources(16, 0), [], Load(num_images, image_s))
    assert (made.workers, made.threads, made.writers) == (workers, 16 // workers, workers)
    named = make_plan(a_job(cluster=Cluster(workers=5)), Resources(16, 0), [], Load(num_images, image_s))
    assert named.workers == 5


def test_threads_fill_the_cpus_once() -> None:
    assert [plan(cpus).threads for cpus in (1, 2, 4, 16)] == [1, 1, 1, 1]
    assert plan(16, job=a_job(cluster=Cluster(cpus_per_worker=4))).threads == 4
    assert plan(16, job=a_job(cluster=Cluster(workers=2))).threads == 8


def test_a_plan_tells_itself_in_a_line() -> None:
    assert str(plan(2)) == "2 workers, reading on their own, threads 1; batches of 32 images, parts of 16,384 rows"
    assert str(plan(16, 4)) == "4 workers, next to read tasks, 1 GPU each; batches of 128 images, parts of 16,384 rows"


def test_workers_share_a_gpu_on_request() -> None:
    job = a_job(cluster=Cluster(workers_per_gpu=2))
    assert str(plan(16, 4, job=job)).startswith("8 workers, next to read tasks, 0.5 GPU each;")
    assert plan(16, 4, job=job).fits(Resources(16, 4))
    assert plan(16, 0, job=job).worker_gpus == 0


def test_gpus_are_left_alone_when_the_job_says_cpu() -> None:
    assert plan(8, 4, job=a_job(engine=TorchEngineConfig(device=Device.cpu))).worker_gpus == 0


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (TorchEngineConfig(device=Device.cuda), "engine.device=cuda"),
        (OnnxEngineConfig(device=Device.cuda), "engine.device=cuda"),
        (OnnxEngineConfig(provider=Provider.tensorrt), "engine.provider=tensorrt"),
    ],
)
def test_a_gpu_that_is_not_there(engine: EngineConfig, said: str) -> None:
    with pytest.raises(JobError, match=f"{said}: the cluster has no GPU"):
        plan(8, 0, job=a_job(engine=engine))
    assert plan(8, 2, job=a_job(engine=engine)).worker_gpus == 1


@pytest.mark.parametrize("engine", [TorchEngineConfig(device=Device.cpu), OnnxEngineConfig(provider=Provider.cpu)])
def test_a_gpu_that_is_not_wanted(engine: EngineConfig) -> None:
    assert plan(8, 2, job=a_job(engine=engine)).worker_gpus == 0


def test_batches_have_about_the_same_bytes_whatever_the_size() -> None:
    assert plan(2).batch_size == 32
    assert plan(2, 1).batch_size == 128
    assert plan(2, job=a_job(model=Model(preprocess=Preprocess(resize=[32, 32], crop=None)))).batch_size == 512
    assert plan(2, job=a_job(model=Model(preprocess=Preprocess(resize=512, crop=448)))).batch_size == 8


@pytest.mark.parametrize(("num_images", "rows"), [(8, 32), (2_000, 96), (10**6, 62_496)])
def test_every_worker_gets_its_share_of_a_small_run(num_images: int, rows: int) -> None:
    assert plan(2, num_images=num_images).piece_rows == rows


def test_the_last_pieces_are_smaller() -> None:
    missing = [Piece(0, ((0, 1_000),)), Piece(1, ((5, 505),)), Piece(2, ((0, 500),))]
    pieces = plan(2, num_images=2_000).cut(missing)
    sizes = [piece.num_rows for piece in pieces]
    assert sum(sizes) == 2_000
    assert sizes[:16] == [96] * 10 + [40] + [96] * 5
    assert max(sizes[17:]) == 32
    one_batch = replace(plan(2, num_images=2_000), piece_rows=32)
    assert max(piece.num_rows for piece in one_batch.cut(missing)) == 32


@pytest.mark.parametrize(
    ("piece_rows", "num_rows", "sizes"),
    [
        (480, 512, [256, 256]),
        (480, 1_024, [352, 352, 320]),
        (480, 480, [480]),
        (480, 100, [100]),
        (32, 100, [32, 32, 32, 4]),
    ],
)
def test_shards_are_cut_evenly(piece_rows: int, num_rows: int, sizes: list[int]) -> None:
    missing = [Piece(0, ((3, num_rows + 3),))] * 4
    pieces = replace(plan(2, num_images=2_000), piece_rows=piece_rows).cut(missing)
    assert [piece.num_rows for piece in pieces][: 3 * len(sizes)] == sizes * 3
    assert sum(piece.num_rows for piece in pieces) == 4 * num_rows


@pytest.mark.parametrize("crop", [32, 96, 192, 224, 288, 299, 384, 512])
def test_batches_fill_shards(crop: int) -> None:
    made = plan(2, job=a_job(model=Model(preprocess=Preprocess(resize=crop, crop=crop))))
    assert 512 % made.batch_size == 0


def calibrated(rates: dict[int, float], *, worker_bytes: int = 1, memory_bytes: int = 0, **changes: object) -> Plan:
    calibration = Calibration(Costs(0.0001, 0.001), Rates(rates, worker_bytes))
    return make_plan(a_job(**changes), Resources(16, 0, memory_bytes), [], Load(10**7, 1, calibration))


def test_the_batch_size_is_what_was_measured_unless_the_config_names_one() -> None:
    assert calibrated({8: 20, 32: 30, 128: 50}).batch_size == 128
    assert calibrated({8: 20, 32: 30, 128: 50}).block_bytes == 128 * 224 * 224 * 3
    assert calibrated({8: 20, 32: 30, 128: 50}, batch_size=24).batch_size == 24
    assert batch_sizes(a_job(), plan(2)) == [8, 32, 128]
    assert batch_sizes(a_job(batch_size=24), plan(2, job=a_job(batch_size=24))) == [24]


def test_cheap_images_are_done_in_blocks_of_two_seconds() -> None:
    for image_s, batches in ((1.0, 1), (0.013, 4), (0.005, 8), (0.0001, 16), (0.00001, 16)):
        assert make_plan(a_job(), Resources(2, 0), [], Load(10**7, image_s)).batches_a_block == batches, image_s
    assert make_plan(a_job(batch_size=8), Resources(2, 0), [], Load(10**7, 1e-5)).batches_a_block == 64
    assert plan(16, 4).batches_a_block == 1
    calibration = Calibration(Costs(0.0001, 0.001), Rates({32: 10_000}, 1))
    measured = make_plan(a_job(), Resources(2, 0), [], Load(10**7, 1.0, calibration))
    assert measured.batches_a_block == 16


def test_no_more_workers_than_memory_holds() -> None:
    assert calibrated({32: 30}, worker_bytes=10**9, memory_bytes=6 * 10**9).workers == 6
    assert calibrated({32: 30}, worker_bytes=10**9, memory_bytes=6 * 10**9).threads == 2
    assert calibrated({32: 30}, worker_bytes=10**9, memory_bytes=10**6).workers == 1
    assert calibrated({32: 30}, worker_bytes=10**9).workers == 16, "it is not known how much there is"
    named = calibrated({32: 30}, worker_bytes=10**9, memory_bytes=6 * 10**9, cluster=Cluster(workers=9))
    assert named.workers == 9


def test_wide_rows_make_parts_of_fewer_rows() -> None:
    assert plan(2).rows_per_part == 16_384
    wide = plan(2, fields=(pa.field("map", pa.fixed_shape_tensor(pa.float32(), (512, 14, 14))),))
    assert wide.rows_per_part == 64_000_000 // (256 + 512 * 14 * 14 * 4)


def test_rows_with_masks_make_parts_of_fewer_rows() -> None:
    mask = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.binary())])
    for column in (pa.binary(), pa.list_(pa.struct([("score", pa.float32()), ("mask", mask)]))):
        assert 1_900 < plan(2, fields=(pa.field("column", column),)).rows_per_part < 2_000
    without = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float32())]))
    assert plan(2, fields=(pa.field("detections", without),)).rows_per_part == 16_384


@pytest.mark.parametrize(("num_images", "rows"), [(10, 512), (100_000, 1_562), (10**9, 16_384)])
def test_a_small_run_has_small_parts_so_that_little_is_lost_with_its_driver(num_images: int, rows: int) -> None:
    assert plan(2, num_images=num_images).rows_per_part == rows


@pytest.mark.parametrize(
    ("job", "key"),
    [
        (a_job(batch_size=0), "batch_size=0"),
        (a_job(batch_size="many"), "batch_size=many"),
        (a_job(cluster=Cluster(workers=-1)), "cluster.workers=-1"),
        (a_job(output=Output(rows_per_part="x")), "output.rows_per_part=x"),
    ],
)
def test_impossible_numbers(job: Job, key: str) -> None:
    with pytest.raises(JobError, match=key):
        plan(2, job=job)
    with pytest.raises(JobError, match=key):
        check_numbers(job)


TILED = Detect(tile=Tile(640))


def test_images_that_are_cut_into_tiles_stay_in_the_actors_that_predict_them() -> None:
    made = plan(8, 1, job=a_job(task=TILED))
    assert made.is_fused
    assert made.worker_gpus == 1
    assert made.read_cpus == 0
    assert made.batches_a_block == 1
    assert not plan(8, 1, job=a_job(task=Detect())).is_fused


@pytest.mark.parametrize("num_images", [1, 5, 40, 10_000])
def test_a_few_large_images_are_spread_over_all_workers(num_images: int) -> None:
    made = plan(4, job=a_job(task=TILED, cluster=Cluster(workers=4)), num_images=num_images)
    pieces = made.cut([Piece(0, ((0, num_images),))])
    assert sum(piece.num_rows for piece in pieces) == num_images
    assert len(pieces) >= min(num_images, 16)
    many = made.piece_rows >= made.batch_size
    assert made.piece_rows % made.batch_size == 0 if many else made.piece_rows == max(1, num_images // 32)


def test_an_image_counts_as_many_inputs_until_its_tiles_are_known() -> None:
    assert usual_inputs(a_job()) == 1
    assert usual_inputs(a_job(task=TILED)) > 1
