"""How many actors, CPUs and images at a time: the plan of a run, from the job and the cluster. Pure arithmetic on
the driver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.decoding.config import DecodeDevice
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
    """What the pipeline is built from."""

    is_fused: bool
    """Whether actors read and decode what they predict; else tasks do that beside them."""
    workers: int
    """Predictor actors."""
    worker_cpus: float
    worker_gpus: int
    read_cpus: float
    """CPUs that one read task reserves; 0 where there are none."""
    writers: int
    """Write tasks at a time, each a process of its own; together they reserve `WRITE_CPUS` each."""
    batch_size: int
    piece_rows: int
    """The most rows of the pieces into which shards are cut, so that every worker gets its share of a small run."""
    rows_per_part: int
    block_bytes: int
    """Pixels of one batch."""
    threads: int
    """Threads of an engine on the CPU."""
    batches_a_block: int = 1
    """Batches that are read and predicted together: workers tell the ledger of each block, which takes milliseconds."""

    def num_readers(self, cpus: float) -> int:
        """Read tasks at a time beside the workers of a cluster of ``cpus``."""
        return max(1, int((cpus - self.workers * self.worker_cpus) / self.read_cpus))

    def cut(self, missing: Iterable[Piece]) -> list[Piece]:
        """The ``missing`` rows in even pieces of `piece_rows` or fewer, the last quarter in smaller ones: workers then
        end soon after each other.
        """
        pieces = [part for piece in missing for part in self._evenly(piece, self.piece_rows)]
        first_late = len(pieces) * 3 // 4
        late_rows = self.batch_size * max(1, self.piece_rows // self.batch_size // 4)
        return pieces[:first_late] + [part for piece in pieces[first_late:] for part in self._evenly(piece, late_rows)]

    def _evenly(self, piece: Piece, most_rows: int) -> Iterator[Piece]:
        """As few pieces as there may be, all but the last of the same number of batches: a small rest would cost as
        much to hand out as the others.
        """
        num_pieces = -(-piece.num_rows // most_rows)
        return piece.cut(self.batch_size * -(-piece.num_rows // (num_pieces * self.batch_size)))

    def fits(self, resources: Resources) -> bool:
        """Whether ``resources`` are enough for all of it at once."""
        cpus = self.workers * self.worker_cpus + self.read_cpus
        return resources.cpus >= cpus and resources.gpus >= self.workers * self.worker_gpus

    def __str__(self) -> str:
        workers = f"{self.workers} worker" if self.workers == 1 else f"{self.workers} workers"
        device = "1 GPU each" if self.worker_gpus else f"threads {self.threads}"
        how = "reading on their own" if self.is_fused else "beside read tasks"
        return f"{workers}, {how}, {device}; batches of {self.batch_size} images, parts of {self.rows_per_part:,} rows"


@dataclass(frozen=True)
class Load:
    """What there is to do."""

    num_images: int
    image_s: float
    """Seconds of a CPU for one of them in the model, about."""
    calibration: Calibration | None = None
    """What was measured on the cluster, if anything was."""


def make_plan(job: Job, resources: Resources, fields: Sequence[pa.Field], load: Load) -> Plan:
    """The plan of ``job`` on a cluster that has ``resources``.

    Args:
        job: what is to be run.
        resources: what there is.
        fields: the task's columns.
        load: how much of it there is.

    Without GPUs, and where GPUs decode, the actors do all but writing. Else CPUs are always left for read tasks: a pool
    of actors that holds every CPU would wait for ever for its input. And always for write tasks: they would start when
    the last image is read, and all would be lost with a driver that dies.

    Raises:
        JobError: the job asks for what the cluster does not have.
    """
    if not resources.cpus:
        raise JobError(
            f"cluster.address={job.cluster.address}: the cluster has no CPUs now",
            cure="add a node, or wait for those that are to come with cluster.nodes_wait_s=600",
        )
    workers, gpus = _workers(job, resources, load)
    num_images = load.num_images
    is_fused = not gpus or job.decode.device is DecodeDevice.gpu
    if job.decode.device is DecodeDevice.gpu and not gpus:
        cure = "choose decode.device=auto, and engine.device=auto where the cluster has GPUs"
        raise JobError("decode.device=gpu: the job has no GPU", cure=cure)
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
        batches_a_block=_batches_a_block(batch_size, load) if is_fused else 1,
        piece_rows=batch_size * max(1, num_images // (workers * batch_size * _PIECES_A_WORKER)),
        rows_per_part=number_of(
            job.output.rows_per_part, "output.rows_per_part", _auto_rows_per_part(fields, num_images)
        ),
        block_bytes=batch_size * image_bytes,
        threads=max(1, int(resources.cpus // workers)),
    )


def _shares(job: Job, resources: Resources, writers: int) -> tuple[float, float]:
    """CPUs of an actor with a GPU, and of a read task beside it: half of a node is left to these, and each of them must
    find its CPUs on one node.
    """
    nodes = resources.nodes or (resources,)
    halves = [node.cpus / 2 / int(node.gpus) for node in nodes if node.gpus >= 1]
    worker_cpus = _whole(min(job.cluster.cpus_per_worker, *halves))
    left_cpus = max(node.cpus - int(node.gpus) * worker_cpus for node in nodes)
    return worker_cpus, _whole(min(1.0, left_cpus - writers * WRITE_CPUS))


def _whole(cpus: float) -> float:
    """So many or fewer, as Ray counts them: whole ones, and below one in small steps."""
    return float(math.floor(cpus)) if cpus >= 1 else math.floor(cpus * 10_000) / 10_000


# Workers end at different times: by about one of the smaller pieces.
_PIECES_A_WORKER = 8

# Writing waits for storage and hardly computes: more CPU for it would be taken from the readers of a small machine.
WRITE_CPUS = 0.01
_MIN_WRITERS = 2  # beside read tasks

# Beside readers: the engine is sent the next batch while one runs; only at the end of a call it waits.
BATCHES_A_CALL = 4

_WRITERS_PER_CPU = 10


# Less work for one CPU is done sooner than the next worker is ready. And what an image takes beside its model.
_WORKER_S, _DECODE_S = 8.0, 0.002


def _workers(job: Job, resources: Resources, load: Load) -> tuple[int, int]:
    """Number of actors, and GPUs of each."""
    if job.engine.wants_gpu and not resources.gpus:
        key = "device" if job.engine.device is Device.cuda else "provider"
        raise JobError(
            f"engine.{key}={getattr(job.engine, key).value}: the cluster has no GPU",
            cure=f"join one that has with cluster.address, wait for it with cluster.nodes_wait_s, or choose "
            f"engine.{key}=auto",
        )
    if resources.gpus >= 1 and job.engine.wants_gpu is not False:
        return number_of(job.cluster.workers, "cluster.workers", int(resources.gpus)), 1
    most = int(resources.cpus // max(job.cluster.cpus_per_worker, 1))
    if load.calibration and resources.memory_bytes:
        most = min(most, resources.memory_bytes // max(1, load.calibration.rates.worker_bytes))
    auto = max(1, int(min(most, load.num_images * (load.image_s + _DECODE_S) // _WORKER_S)))
    return number_of(job.cluster.workers, "cluster.workers", auto), 0


def _auto_batch_size(image_bytes: int, *, on_gpu: bool) -> int:
    """32 images of 224 by 224 pixels on CPU, 128 on GPU; about as many bytes of other sizes, from 8 to 512 images, in
    powers of two, as shards are: a batch that is not full costs as much as a full one.
    """
    wanted = (128 if on_gpu else 32) * 224 * 224 * 3 // image_bytes
    return int(2 ** math.floor(math.log2(min(512, max(8, wanted)))))


def batch_sizes(job: Job, plan: Plan) -> list[int]:
    """Those that are worth measuring beside that of ``plan``; none where the config names one."""
    if job.batch_size != "auto":
        return [plan.batch_size]
    return [size for size in (plan.batch_size // 4, plan.batch_size, plan.batch_size * 4) if size]


def _batches_a_block(batch_size: int, load: Load) -> int:
    """As many as are done in half a second, up to 512 images: when a worker dies, its block goes image by image."""
    image_s = _image_s(load)
    return max(1, min(int(_BLOCK_S / (batch_size * image_s)), _MAX_BLOCK_ROWS // batch_size))


def _image_s(load: Load) -> float:
    """Seconds of a worker for one image, decoding included."""
    calibration = load.calibration
    if calibration is None or not calibration.rates.images_per_s:
        return load.image_s + _DECODE_S
    costs = calibration.costs
    return costs.read_s + costs.decode_s + 1 / max(calibration.rates.images_per_s.values())


_BLOCK_S, _MAX_BLOCK_ROWS = 0.5, 512


def _auto_rows_per_part(fields: Sequence[pa.Field], num_images: int) -> int:
    """As many as 64 MB hold, and no more than a 64th of the run: a driver that dies loses what is being gathered."""
    row_bytes = 256 + sum(_bytes(field.type) for field in fields)
    return max(1, min(16_384, 64_000_000 // row_bytes, max(_MIN_ROWS_PER_PART, num_images // 64)))


_MIN_ROWS_PER_PART = 512


def _bytes(arrow_type: pa.DataType) -> int:
    if isinstance(arrow_type, pa.BaseExtensionType):
        return _bytes(arrow_type.storage_type)
    if pa.types.is_fixed_size_list(arrow_type):
        return int(arrow_type.list_size) * _bytes(arrow_type.value_type)
    return arrow_type.bit_width // 8 if pa.types.is_primitive(arrow_type) else 32
