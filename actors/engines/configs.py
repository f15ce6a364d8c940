"""What a job may say of its engine. Plain dataclasses that the driver reads and each worker is sent; no library of any
engine is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

from actors.engines.tolerance import Tolerance, to_tolerance
from actors.errors import JobError
from actors.field_types import coerce_fields
from actors.models.forms import form_of

if TYPE_CHECKING:
    from actors.models.spec import Model


class Precision(Enum):
    """What numbers the network computes with."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Device(Enum):
    """Where the network runs; auto takes a GPU where the process has one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Provider(Enum):
    """What onnxruntime executes with; auto follows the device."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    tensorrt = "tensorrt"


class Gate(Enum):
    """What becomes of an engine that was named and whose answers are not those of the reference."""

    stop = "stop"
    """The job ends before the first image."""
    warn = "warn"
    """It is told, and the engine runs."""
    off = "off"
    """Nothing is compared."""


AUTO = "auto"  # the name of the engine that a job chooses


@dataclass
class EngineConfig:
    """What all engines are told."""

    name: str = ""
    """Which engine this is."""
    precision: Precision = Precision.auto
    """Numbers of the network and its input."""
    device: Device = Device.auto
    """Where it runs. What is asked for and missing stops the job."""
    threads: int | None = None
    """CPU threads of one worker; what the process was given when not set."""
    tolerance: Any = field(default_factory=Tolerance)
    """How far answers may be from those of the reference; ``exact`` stands for what equals fp32 within 1e-3."""
    gate: Gate = Gate.stop
    """What becomes of an engine that the job names and that does not hold the tolerance."""

    def __post_init__(self) -> None:
        coerce_fields(self, "engine")

    @property
    def wants_gpu(self) -> bool | None:
        """True where only a GPU will do, False where none may be used, None where one is taken if there."""
        return {Device.auto: None, Device.cpu: False, Device.cuda: True}[self.device]

    @property
    def label(self) -> str:
        """Engine and precision in a few words, such as ``torch fp32 compiled``."""
        return f"{self.name} {self.precision.value}"

    def check(self, model: Model) -> None:
        """Raises `JobError` when this engine cannot run ``model``, as far as that shows without loading it."""
        to_tolerance(self.tolerance)
        if self.threads is not None and self.threads < 1:
            raise JobError(
                f"engine.threads={self.threads}: must be at least 1", cure="leave it away, or give a number from 1"
            )
        form = form_of(model)
        if self.name not in (AUTO, *form.engines):
            raise JobError(f"engine={self.name}: cannot run {model.where}", cure=f"choose engine={form.engines[0]}")
        self._check_model(model)

    def on_cpu(self) -> Self:
        """The same engine on the CPU, ready without waiting: the driver may lack what the workers have."""
        return replace(self, device=Device.cpu)

    def _check_model(self, model: Model) -> None:
        """What `check` is for each engine alone."""


@dataclass
class AutoEngineConfig(EngineConfig):
    """The fastest engine and precision, of those that hold the tolerance on images of the dataset."""

    name: str = AUTO


@dataclass
class TorchEngineConfig(EngineConfig):
    """PyTorch, on a state_dict and the architecture that belongs to it. precision=auto is fp32, and on a GPU fp32 means
    fp32, not TF32.
    """

    name: str = "torch"
    compile: bool = False
    """Compile the network when it is loaded, with its weights frozen in: tens of seconds for a faster run."""

    @property
    def label(self) -> str:
        return f"{super().label} compiled" if self.compile else super().label

    def on_cpu(self) -> Self:
        return replace(super().on_cpu(), compile=False)


@dataclass
class OnnxEngineConfig(EngineConfig):
    """onnxruntime, on an .onnx file, or on what it makes of a state_dict and its architecture. precision=auto is what
    the file holds, and fp32 where one is made.
    """

    name: str = "onnxruntime"
    provider: Provider = Provider.auto
    """onnxruntime's execution provider; the one asked for is the one got, or the job stops."""

    @property
    def label(self) -> str:
        return super().label if self.provider is Provider.auto else f"{super().label} {self.provider.value}"

    @property
    def wants_gpu(self) -> bool | None:
        wanted = self.wanted_provider()
        return None if wanted is Provider.auto else wanted is not Provider.cpu

    def on_cpu(self) -> Self:
        return replace(super().on_cpu(), provider=Provider.cpu)

    def _check_model(self, model: Model) -> None:
        if form_of(model).has_network and self.precision is Precision.bf16:
            raise JobError(
                f"engine.precision=bf16: engine=onnxruntime does not run {model.where} in it",
                cure="choose engine=torch or openvino, or engine.precision=fp32",
            )
        self.wanted_provider()

    def wanted_provider(self) -> Provider:
        """The provider that device and provider ask for together; auto where neither says."""
        if self.device is Device.auto:
            return self.provider
        device_provider = Provider(self.device.value)
        if self.provider is Provider.auto:
            return device_provider
        if (self.provider is Provider.cpu) == (device_provider is Provider.cpu):
            return self.provider
        raise JobError(
            f"engine.provider={self.provider.value} does not run on engine.device={self.device.value}",
            cure="leave one of the two at auto",
        )


@dataclass
class OpenVinoEngineConfig(EngineConfig):
    """OpenVINO, on CPUs alone; runs what onnxruntime runs. precision=auto is fp32."""

    name: str = "openvino"

    @property
    def wants_gpu(self) -> bool | None:
        return False

    def _check_model(self, model: Model) -> None:  # noqa: ARG002
        if self.device is Device.cuda:
            raise JobError(
                "engine.device=cuda: engine=openvino runs on CPUs alone", cure="choose engine=torch or onnxruntime"
            )
        if self.precision is Precision.fp16:
            raise JobError(
                "engine.precision=fp16: engine=openvino has fp32 and bf16 on a CPU", cure="choose one of the two"
            )


ENGINE_CONFIGS: dict[str, type[EngineConfig]] = {
    config.name: config for config in (TorchEngineConfig, OnnxEngineConfig, OpenVinoEngineConfig)
}
"""The engines that can be named, by their names."""


def default_engine(model: Model) -> EngineConfig:
    """The engine for ``model`` where none is named. Raises `JobError` if the form of the model is unknown."""
    return ENGINE_CONFIGS[form_of(model).engines[0]]()
