"""Plans a run for a job and a cluster: number of actors, CPUs of each, batch and part sizes. Pure arithmetic on the
driver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.decoding.config import DecodeDevice
from actors.engines.candidates import wants_gpu
from actors.engines.configs import Device
from actors.errors import JobError
from jobs.runs.number_checks import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from actors.row_ranges import Piece
    from jobs.cluster.resources import Resources
    from jobs.job import Job
    from jobs.planning.calibration import Calibration


@dataclass(frozen=True)
class Plan:
    """Parameters from which the pipeline is built."""

    is_fused: bool
    """True if actors read and decode their own images; otherwise separate read tasks do."""
    workers: int
    """Predictor actors."""
    worker_cpus: float
    """CPUs reserved by each actor."""
    worker_gpus: float
    """GPUs reserved by each actor: 0, 1, or a fraction."""
    read_cpus: float
    """CPUs reserved by each read task; 0 if there are none."""
    writers: int
    """Concurrent write tasks, each a process that reserves `WRITE_CPUS`."""
    batch_size: int
    """Images per call of the engine."""
    piece_rows: int
    """Maximum rows of a piece of a shard; keeps every worker busy in a small run."""
    rows_per_part: int
    block_bytes: int
    """Size of the uint8 pixels of one batch, in bytes."""
    threads: int
    """Threads of an engine on the CPU."""
    batches_a_block: int = 1
    """Batches read and predicted together. Reporting each block to the ledger takes milliseconds."""

    def num_readers(self, cpus: float) -> int:
        """Returns the number of read tasks that run beside the workers on a cluster of ``cpus``."""
        return max(1, int((cpus - self.workers * self.worker_cpus) / self.read_cpus))

    def cut(self, missing: Iterable[Piece]) -> list[Piece]:
        """Cuts the ``missing`` rows into even pieces of at most `piece_rows`; pieces of the last quarter are smaller,
        so that workers finish at about the same time.
        """
        pieces = [part for piece in missing for part in self._evenly(piece, self.piece_rows)]
        first_late = len(pieces) * 3 // 4
        late_rows = self._step * max(1, self.piece_rows // self._step // 4)
        return pieces[:first_late] + [part for piece in pieces[first_late:] for part in self._evenly(piece, late_rows)]

    def _evenly(self, piece: Piece, most_rows: int) -> Iterator[Piece]:
        """Cuts into as few pieces as possible, all but the last with the same number of batches: a small remainder
        would cost as much to schedule as a full piece.
        """
        num_pieces = -(-piece.num_rows // most_rows)
        return piece.cut(self._step * -(-piece.num_rows // (num_pieces * self._step)))

    @property
    def _step(self) -> int:
        """Piece sizes are multiples of this number of rows: a batch, or less if an image's tiles fill a batch."""
        return min(self.batch_size, self.piece_rows)

    def fits(self, resources: Resources) -> bool:
        """Returns True if ``resources`` suffice for all actors and one read task."""
        cpus = self.workers * self.worker_cpus + self.read_cpus
        return resources.cpus >= cpus and resources.gpus >= self.workers * self.worker_gpus

    def __str__(self) -> str:
        workers = f"{self.workers} worker" if self.workers == 1 else f"{self.workers} workers"
        device = f"{self.worker_gpus:.3g} GPU each" if self.worker_gpus else f"threads {self.threads}"
        how = "reading on their own" if self.is_fused else "next to read tasks"
        return f"{workers}, {how}, {device}; batches of {self.batch_size} images, parts of {self.rows_per_part:,} rows"


@dataclass(frozen=True)
class Load:
    """Amount of work in a run."""

    num_images: int
    image_s: float
    """Approximate CPU seconds of the model per image."""
    calibration: Calibration | None = None
    """Measurements on the cluster, if any."""

    @property
    def whole_image_s(self) -> float:
        """Seconds per image of a worker, including decoding."""
        calibration = self.calibration
        if calibration is None or not calibration.rates.images_per_s:
            return self.image_s + _DECODE_S
        costs = calibration.costs
        return costs.read_s + costs.decode_s + 1 / max(calibration.rates.images_per_s.values())


def make_plan(job: Job, resources: Resources, fields: Sequence[pa.Field], load: Load) -> Plan:
    """Plans ``job`` for a cluster with ``resources``.

    Without GPUs, with decoding on GPUs, and with tiles, the actors do everything except writing. Otherwise some CPUs
    always remain for read tasks: an actor pool that holds every CPU would wait for its input forever. Some also remain
    for write tasks: otherwise they would start only after the last image is read, and a dying driver would lose
    everything.

    Args:
        job: the job.
        resources: resources of the cluster.
        fields: columns of the task.
        load: amount of work.

    Raises:
        JobError: the job requires resources that the cluster does not have.
    """
    if not resources.cpus:
        raise JobError(
            f"cluster.address={job.cluster.address}: the cluster has no CPUs now",
            fix="add a node, or wait for nodes to join with cluster.nodes_wait_s=600",
        )
    workers, gpus = _workers(job, resources, load)
    num_images, tiling = load.num_images, job.task.tiling
    is_fused = not gpus or job.decode.device is DecodeDevice.gpu or tiling is not None
    if job.decode.device is DecodeDevice.gpu and not gpus:
        fix = "choose decode.device=auto, and engine.device=auto where the cluster has GPUs"
        raise JobError("decode.device=gpu: the job has no GPU", fix=fix)
    writers = max(1 if is_fused else _MIN_WRITERS, min(workers, int(resources.cpus * _WRITERS_PER_CPU)))
    if is_fused:
        left_cpus = resources.cpus - writers * WRITE_CPUS
        worker_cpus, read_cpus = _whole(min(job.cluster.cpus_per_worker, left_cpus / workers)), 0.0
    else:
        worker_cpus, read_cpus = _shares(job, resources, writers)
    height, width = job.model.preprocess.size
    image_bytes = height * width * 3
    usual = _auto_batch_size(image_bytes, on_gpu=bool(gpus))
    measured = load.calibration.batch_size(usual) if load.calibration else usual
    batch_size = number_of(job.batch_size, "batch_size", measured)
    return Plan(
        is_fused=is_fused,
        workers=workers,
        worker_cpus=worker_cpus,
        worker_gpus=gpus,
        read_cpus=read_cpus,
        writers=writers,
        batch_size=batch_size,
        batches_a_block=_batches_a_block(batch_size, load) if is_fused and tiling is None else 1,
        piece_rows=_piece_rows(num_images // (workers * _PIECES_A_WORKER), batch_size, is_tiled=tiling is not None),
        rows_per_part=number_of(
            job.output.rows_per_part, "output.rows_per_part", _auto_rows_per_part(fields, num_images)
        ),
        block_bytes=batch_size * image_bytes,
        threads=max(1, int(resources.cpus // workers)),
    )


def _piece_rows(share: int, batch_size: int, *, is_tiled: bool) -> int:
    """Returns the rows of a piece, given a worker's ``share``: whole batches, unless an image has many tiles."""
    return max(1, share) if is_tiled and share < batch_size else batch_size * max(1, share // batch_size)


def usual_inputs(job: Job) -> int:
    """Returns the estimated model inputs per image, before measurement: many if it is cut into tiles."""
    return 1 if job.task.tiling is None else _USUAL_TILES


_USUAL_TILES = 16  # a 4-megapixel picture in tiles of 640


def _shares(job: Job, resources: Resources, writers: int) -> tuple[float, float]:
    """Returns the CPUs of an actor with a GPU, and of a read task. Half of each node is left for read tasks; the CPUs
    of a task must be on one node.
    """
    nodes = resources.nodes or (resources,)
    num_workers = [int(node.gpus) * job.cluster.workers_per_gpu for node in nodes]
    halves = [node.cpus / 2 / number for node, number in zip(nodes, num_workers, strict=True) if number]
    worker_cpus = _whole(min(job.cluster.cpus_per_worker, *halves))
    left_cpus = max(node.cpus - number * worker_cpus for node, number in zip(nodes, num_workers, strict=True))
    return worker_cpus, _whole(min(1.0, left_cpus - writers * WRITE_CPUS))


def _whole(cpus: float) -> float:
    """Rounds down to a number of CPUs or GPUs that Ray accepts: an integer, or below 1 a multiple of 0.0001."""
    return float(math.floor(cpus)) if cpus >= 1 else math.floor(cpus * 10_000) / 10_000


# Workers finish within about one of the smaller pieces of each other.
_PIECES_A_WORKER = 8

# Writing mostly waits for storage; reserving more would take CPUs from the readers of a small machine.
WRITE_CPUS = 0.01
_MIN_WRITERS = 2  # with separate read tasks
_WRITERS_PER_CPU = 10

# With separate readers, the engine gets its next batch while one runs, and waits only at the end of a call.
BATCHES_A_CALL = 4

# Seconds of work that justify another worker. Starting one takes a CPU second if workers are forked, otherwise two or
# three. On two threads of an Intel Xeon, a run of 700 images of a ResNet-18 takes two workers 6.7 to 9.1 s, and one 9.2
# to 9.8 s.
_WORKER_S = 2.5
_DECODE_S = 0.002  # typical seconds to read and decode an image, before anything is measured


def _workers(job: Job, resources: Resources, load: Load) -> tuple[int, float]:
    """Returns the number of actors, and the GPUs of each."""
    if wants_gpu(job.engine, job.model) and not resources.gpus:
        key = "device" if job.engine.device is Device.cuda else "provider"
        raise JobError(
            f"engine.{key}={getattr(job.engine, key).value}: the cluster has no GPU",
            fix=f"use a cluster with one (cluster.address), wait for one to join (cluster.nodes_wait_s), or choose "
            f"engine.{key}=auto",
        )
    if resources.gpus >= 1 and wants_gpu(job.engine, job.model) is not False:
        sharing = job.cluster.workers_per_gpu
        return number_of(job.cluster.workers, "cluster.workers", int(resources.gpus) * sharing), _whole(1 / sharing)
    most = int(resources.cpus // max(job.cluster.cpus_per_worker, 1))
    if load.calibration and resources.memory_bytes:
        most = min(most, resources.memory_bytes // max(1, load.calibration.rates.worker_bytes))
    auto = max(1, int(min(most, load.num_images * (load.image_s + _DECODE_S) // _WORKER_S)))
    return number_of(job.cluster.workers, "cluster.workers", auto), 0


def _auto_batch_size(image_bytes: int, *, on_gpu: bool) -> int:
    """Returns 32 images of 224 by 224 pixels on a CPU, 128 on a GPU; for other sizes, about as many bytes, from 8 to
    512 images. A power of two, so that batches fill a shard: a partial batch costs as much as a full one.
    """
    wanted = (128 if on_gpu else 32) * 224 * 224 * 3 // image_bytes
    return int(2 ** math.floor(math.log2(min(512, max(8, wanted)))))


def batch_sizes(job: Job, plan: Plan) -> list[int]:
    """Returns the batch sizes to measure: that of ``plan``, a quarter of it and four times it, or only the configured
    one.
    """
    if job.batch_size != "auto":
        return [plan.batch_size]
    return [size for size in (plan.batch_size // 4, plan.batch_size, plan.batch_size * 4) if size]


def _batches_a_block(batch_size: int, load: Load) -> int:
    """Returns the batches in two seconds of work and 512 images at most: the block of a dead worker is redone one by
    one.
    """
    return max(1, min(int(_BLOCK_S / (batch_size * load.whole_image_s)), _MAX_BLOCK_ROWS // batch_size))


_BLOCK_S, _MAX_BLOCK_ROWS = 2.0, 512


def _auto_rows_per_part(fields: Sequence[pa.Field], num_images: int) -> int:
    """Returns the rows in 64 MB, at most a 64th of the run: a dying driver loses the rows of unfinished parts."""
    row_bytes = 256 + sum(_bytes(field.type) for field in fields)  # 256 for id, URI and other strings
    return max(1, min(16_384, 64_000_000 // row_bytes, max(_MIN_ROWS_PER_PART, num_images // 64)))


_MIN_ROWS_PER_PART = 512


def _bytes(arrow_type: pa.DataType) -> int:
    if isinstance(arrow_type, pa.BaseExtensionType):
        return _bytes(arrow_type.storage_type)
    if pa.types.is_fixed_size_list(arrow_type):
        return int(arrow_type.list_size) * _bytes(arrow_type.value_type)
    if pa.types.is_primitive(arrow_type):
        return int(arrow_type.bit_width) // 8
    if pa.types.is_nested(arrow_type):
        return max(32, sum(_bytes(arrow_type.field(place).type) for place in range(arrow_type.num_fields)))
    return _MASK_BYTES if pa.types.is_binary(arrow_type) else 32


_MASK_BYTES = 32_768  # between the class maps of a 500 by 375 picture and a 12-megapixel one
