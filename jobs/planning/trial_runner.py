"""Runs trials of engines on the workers, each in its own process, which may crash. Runs on the driver."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.engines.configs import TorchEngineConfig
from actors.engines.hardware import Hardware, hardware
from actors.errors import JobError
from actors.messages import one_line
from actors.predicting.probes import noise
from actors.trials.comparison import Answers, Trial, compare
from actors.trials.decode_trial import DecodeTrial, try_decoders
from actors.trials.sampling import TILES_OF_AN_IMAGE, Costs, Sample, spread
from jobs.planning.calibration import Calibration
from jobs.planning.trial_results import result_behind, result_of
from jobs.planning.trial_tasks import challenged, measured, quantise, rated, sampled, tried

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from actors.engines.configs import EngineConfig
    from actors.reading.reader import ReadPlan
    from actors.row_ranges import Piece
    from jobs.planning.planner import Plan
    from jobs.runs.opening import Run

LOG = logging.getLogger("shardlens")


class TrialRunner:
    """Runs trials in Ray tasks with the resources of a worker of ``plan``. The reference runs in the driver if that has
    the same CPU and the job's check has loaded it.

    Args:
        run: run for which to choose an engine.
        plan: plan of the run.
        read: read settings of the sample.
    """

    def __init__(self, run: Run, plan: Plan, read: ReadPlan) -> None:
        self.recipe = replace(run.job.recipe, one_by_one=run.checked.one_by_one)
        self.num_images = 0
        self.is_synthetic = False
        self._agree = self.recipe.agree
        self._sizes = run.shards.sizes
        self._plan = plan
        self._read = read
        self.is_local = run.job.cluster.address is None and not plan.worker_gpus
        """True if workers have the hardware of the driver."""
        self._image_s = run.checked.image_s
        self._loaded = run.checked.reference_engine if self.is_local else None
        self.limit_reference(0.0)
        self._num_read = _NUM_SAMPLED
        self._num_sampled: int | None = None
        self._costs: Costs | None = None
        self._sample: Any = None
        self._right: Answers | None = None
        self._begun: dict[str, list[Any]] = {}
        self._clock = time.perf_counter if plan.worker_gpus else time.process_time
        self._options: dict[str, Any] = {"num_cpus": plan.worker_cpus, "num_gpus": plan.worker_gpus}
        self._result: Callable[[Any], Any] = result_of

    def limit_reference(self, seconds: float) -> None:
        """Sets the approximate time that the reference may take: if slow, it predicts fewer images. If the time is
        short, `sample` reads no more than these.
        """
        self._num_wanted = _num_compared(seconds, self._image_s, on_gpu=bool(self._plan.worker_gpus))
        self._num_read = self._num_wanted if seconds < _SHORT_S else _NUM_SAMPLED

    @property
    def has_loaded(self) -> bool:
        """True if the reference runs in the driver, which has loaded it on one thread. If it is slow, only
        PyTorch does, which can use more threads afterwards.
        """
        return self._loaded is not None and (self._loaded.name == TorchEngineConfig.name or not self._is_slow)

    @property
    def _is_slow(self) -> bool:
        return self._num_wanted * self._image_s > _SLOW_S

    def run_behind(self, is_over: Event, limit_s: float) -> None:
        """Runs the following trials beside the run's workers, which hold all CPUs, until ``is_over``.

        From now on, every method raises CancelledError once ``is_over`` is set, and TimeoutError if a task takes longer
        than ``limit_s``.
        """
        self._loaded = None
        self._options = {"num_cpus": 0, "scheduling_strategy": _largest_node()}
        self._result = partial(result_behind, is_over=is_over, limit_s=limit_s)

    @property
    def has_reference(self) -> bool:
        """True if `reference` has finished."""
        return self._right is not None

    def hardware(self) -> Hardware:
        """Hardware and library versions of a worker."""
        if self.is_local:
            return hardware(with_gpu=False)
        [result] = self._start(partial(hardware, with_gpu=bool(self._plan.worker_gpus)))
        found: Hardware = self._result(result)
        if self._plan.worker_gpus and not found.gpu:
            LOG.warning(
                "PyTorch finds no GPU on a worker that has one: check for a CPU-only build or an outdated driver"
            )
        return found

    def sample(self) -> int:
        """Reads images spread over the dataset, on the first call. Returns their number."""
        if self._num_sampled is None:
            result, self._sample = self._start(sampled, self._read, self._pieces(), returns=2)
            try:
                self._num_sampled, self._costs = self._result(result)
            except RayError as error:
                LOG.warning("the sample could not be read: %s", one_line(error))
                self._num_sampled = 0
        return self._num_sampled

    def use_noise(self) -> None:
        """Replaces the sample with noise, for a dataset that yields no image to compare."""
        pixels_nhwc = noise(self._read.preprocess.size)
        uris = [f"synthetic image {number}" for number in range(len(pixels_nhwc))]
        self._sample, self.is_synthetic = ray.put(Sample(pixels_nhwc, uris, None)), True
        self._begun.clear()

    @property
    def tried_on(self) -> str:
        """Describes the images that were compared, for a message."""
        return f"{self.num_images} {'synthetic images' if self.is_synthetic else 'images of the dataset'}"

    def quantise(self) -> bytes:
        """Returns the network of the model, quantised on the sample.

        Raises:
            JobError: the sample is empty, or the network cannot be quantised.
        """
        if not self.sample():
            raise JobError("engine.precision=int8: no image of the dataset could be read to quantise on", fix=_INT8)
        [result] = self._start(quantise, self.recipe.model, self._sample)
        try:
            return cast("bytes", result_of(result))
        except RayError as error:
            raise JobError(f"engine.precision=int8: quantising did not finish: {one_line(error)}", fix=_INT8) from error

    def decoders(self, reference: EngineConfig) -> DecodeTrial:
        """Compares decoding on the GPU with decoding on the CPU, in speed and in the model's answers."""
        recipe = replace(self.recipe, engine=reference)
        [result] = self._start(try_decoders, self._read, self._pieces(), recipe, self._agree)
        try:
            return cast("DecodeTrial", self._result(result))
        except RayError as error:
            return DecodeTrial(breaches=[f"its worker did not finish: {one_line(error)}"])

    def calibrate(self, config: EngineConfig, batch_sizes: Sequence[int]) -> Calibration | None:
        """Measures the cost of an image on a worker. Returns None, with a warning, if the measurement fails."""
        if not self.sample() or self._costs is None:
            return None
        [result] = self._start(measured, replace(self.recipe, engine=config), self._sample, batch_sizes)
        try:
            return Calibration(self._costs, self._result(result)).scaled(1 / self._costs.num_inputs)
        except RayError as error:
            LOG.warning("engine %s could not be measured: %s", config.label, one_line(error))
            return None

    def reference(self, config: EngineConfig) -> Trial | None:
        """Runs the reference that candidates must match. Returns None if it did not finish, for example because an
        image killed its worker.

        Raises:
            JobError: the reference cannot run the model.
        """
        try:
            trial, self._right = self._reference(config)
        except RayError as error:
            LOG.warning("the reference did not run over the sample: %s", one_line(error))
            return None
        self.num_images = len(self._right.rows)
        return trial

    def begin(self, config: EngineConfig) -> None:
        """Starts the trial of ``config``, which runs concurrently with the reference; `candidate` waits for it."""
        self._begun[config.label] = self._start(tried, *self._about(config), self._clock, returns=2)

    def candidate(self, config: EngineConfig) -> Trial:
        """Tries ``config``, and compares its answers with those of the reference. A failure of any kind becomes a
        breach of the trial.

        Raises:
            JobError: the engine cannot run the model.
        """
        if self._right is None:
            raise RuntimeError("the reference comes first")
        if config.label not in self._begun:
            self.begin(config)
        result, answers = self._begun.pop(config.label)
        try:
            trial, uris = self._result(result)
            return compare(self._right, trial, ray.get(answers), self._agree, uris)
        except RayTaskError as error:
            return Trial(config.label, breaches=[f"fails: {one_line(error.cause)}"])
        except RayError as error:
            return Trial(config.label, breaches=[f"its worker did not finish: {one_line(error)}"])

    def challenge(self, current: EngineConfig, images_per_s: float, rival: EngineConfig) -> Trial:
        """Tries ``rival`` as `candidate` does, in one process with ``current``, whose rate is ``images_per_s`` on an
        idle machine. The trial's rate is scaled accordingly.

        Raises:
            JobError: either engine cannot run the model.
        """
        running = replace(self.recipe, engine=current)
        self._begun[rival.label] = self._start(challenged, running, images_per_s, *self._about(rival), returns=2)
        return self.candidate(rival)

    def _reference(self, config: EngineConfig) -> tuple[Trial, Answers]:
        if not self.has_loaded:
            self._loaded = None
            result, answers = self._start(tried, *self._about(config), self._clock, returns=2)
            return self._result(result)[0], ray.get(answers)
        sample: Sample = ray.get(self._sample)
        recipe, pixels_nhwc = replace(self.recipe, engine=config), sample.pixels_nhwc[: self._num_wanted]
        engine, self._loaded = self._loaded, None  # not held during the run
        with ExitStack() as stack:
            if self._is_slow:
                from actors.engines.torch_engine import spare_threads  # noqa: PLC0415  loaded with the engine

                stack.enter_context(spare_threads())
            return rated(recipe, pixels_nhwc, self._plan.batch_size, self._clock, engine)

    def _pieces(self) -> list[Piece]:
        """Returns the rows of the sample, limited by the memory for their pixels."""
        height, width = self._read.preprocess.size
        most = min(self._num_read, max(1, _SAMPLE_BYTES // (height * width * 3)))
        return spread(self._sizes, most if self._read.tile is None else -(-most // TILES_OF_AN_IMAGE))

    def _about(self, config: EngineConfig) -> tuple[Any, ...]:
        return replace(self.recipe, engine=config), self._sample, self._num_wanted, self._plan.batch_size

    def _start(self, function: Callable[..., Any], *arguments: Any, returns: int = 1) -> list[Any]:
        task: Any = ray.remote(_call)
        references = task.options(**self._options, max_retries=0, num_returns=returns).remote(function, *arguments)
        return [references] if returns == 1 else list(references)


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _largest_node() -> NodeAffinitySchedulingStrategy:
    """The node with the most CPUs, which has workers: the driver's may have none."""
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    largest = max(nodes, key=lambda node: node["Resources"].get("CPU", 0.0))
    return NodeAffinitySchedulingStrategy(largest["NodeID"], soft=True)


def _num_compared(reference_s: float, image_s: float, *, on_gpu: bool) -> int:
    """Returns the number of images to compare: as many as the reference predicts in ``reference_s``, within limits."""
    in_time = _NUM_SAMPLED if on_gpu else int(reference_s / image_s)
    return max(_FEWEST, min(in_time, _NUM_SAMPLED))


_NUM_SAMPLED = 256  # images, or fewer if limited by `_SAMPLE_BYTES`
_FEWEST = 32  # images; fewer would hardly reveal a disagreement; a ViT-B takes 0.4 s per image
_SHORT_S = 2.0  # for the reference; reading all of `_NUM_SAMPLED` takes about one
_SLOW_S = 1.0  # of the reference on one thread: more threads slow down a fast network
_SAMPLE_BYTES = 64 << 20


_INT8 = "choose engine.precision=fp32"
