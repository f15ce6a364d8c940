"""The typed configs of the engines. The driver reads them and sends them to workers; imports no engine library."""

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
    """The number format in which the network computes."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class Device(Enum):
    """The device on which the network runs; auto selects a GPU if the process has one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Provider(Enum):
    """onnxruntime's execution provider; auto follows the device."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    tensorrt = "tensorrt"


class Gate(Enum):
    """The consequence if the answers of a named engine differ from the reference's."""

    stop = "stop"
    """The job ends before the first image."""
    warn = "warn"
    """A warning is logged, and the engine runs."""
    off = "off"
    """The answers are not compared."""


AUTO = "auto"  # the name of an engine that the job chooses itself


@dataclass
class EngineConfig:
    """The keys that all engines share."""

    name: str = ""
    """Name of the engine on the command line."""
    precision: Precision = Precision.auto
    """Number format of the network and its input. int8 quantises the network with images of the dataset, for CPUs."""
    device: Device = Device.auto
    """Device to run on. The job stops if the requested device is missing."""
    threads: int | None = None
    """CPU threads per worker; null uses the CPUs assigned to the process."""
    tolerance: Any = field(default_factory=Tolerance)
    """Limits on the distance from the reference's answers; ``exact`` means equal to fp32 within 1e-3."""
    gate: Gate = Gate.stop
    """The consequence if an engine named by the job exceeds the tolerance."""

    def __post_init__(self) -> None:
        coerce_fields(self, "engine")

    @property
    def wants_gpu(self) -> bool | None:
        """True if a GPU is required, False if none may be used, None if one is used if present."""
        if self.precision is Precision.int8:
            return False
        # None, so that workers decide: the driver may have no GPU.
        return {Device.auto: None, Device.cpu: False, Device.cuda: True}[self.device]

    @property
    def label(self) -> str:
        """Engine and precision in a few words, such as ``torch fp32 compiled``."""
        return f"{self.name} {self.precision.value}"

    def check(self, model: Model) -> None:
        """Raises `JobError` if this engine cannot run ``model``, as far as can be seen without loading it."""
        to_tolerance(self.tolerance)
        if self.threads is not None and self.threads < 1:
            raise JobError(f"engine.threads={self.threads}: must be at least 1", fix="omit it, or give a number from 1")
        if self.precision is Precision.int8 and self.device is Device.cuda:
            raise _int8_on_gpu()
        form = form_of(model)
        if self.name not in (AUTO, *form.engines):
            raise JobError(f"engine={self.name}: cannot run {model.where}", fix=f"choose engine={form.engines[0]}")
        self._check_model(model)

    def needs_int8_graph(self, model: Model) -> bool:
        """Returns True if ``model`` is a network to quantise, which requires images: see
        `actors.exporting.quantisation.quantised`.
        """
        return self.precision is Precision.int8 and form_of(model).has_network

    def on_cpu(self) -> Self:
        """Returns the same engine on the CPU, ready without a wait: the driver may lack the workers' hardware."""
        return replace(self, device=Device.cpu)

    def _check_model(self, model: Model) -> None:
        """Does the part of `check` that depends on the engine."""


@dataclass
class AutoEngineConfig(EngineConfig):
    """The fastest engine and precision within the tolerance on images of the dataset."""

    name: str = AUTO

    def admits_int8(self, model: Model) -> bool:
        """Returns True if int8 may be tried without a request: ``model`` is a network, and the tolerance is widened."""
        has_room = self.precision is Precision.auto and to_tolerance(self.tolerance).is_widened
        return has_room and self.device is not Device.cuda and form_of(model).has_network

    def _check_model(self, model: Model) -> None:
        engines = form_of(model).engines
        if len(engines) == 1:  # there is no choice, so its limits apply
            only = ENGINE_CONFIGS[engines[0]](precision=self.precision, device=self.device)
            only._check_model(model)  # noqa: SLF001  of the same class


@dataclass
class TorchEngineConfig(EngineConfig):
    """PyTorch, for models with a network. precision=auto is fp32, and on a GPU fp32 is never TF32."""

    name: str = "torch"
    compile: bool = False
    """Compile the network on loading, with frozen weights: takes tens of seconds, but inference is faster."""
    piece: int | None = None
    """Images per call of the compiled network; smaller batches are padded to this number. null means 8 images of 224 by
    224 pixels on a CPU and 32 on a GPU, or about the same number of pixels."""
    cuda_graphs: bool = False
    """Replay the compiled network as one CUDA graph. Useful for small networks, whose kernels take longer to launch one
    by one than to run. Needs compile and a GPU."""

    @property
    def label(self) -> str:
        pieces = f" in pieces of {self.piece}" if self.piece else ""
        return f"{super().label}{' compiled' * self.compile}{pieces}{' with CUDA graphs' * self.cuda_graphs}"

    def on_cpu(self) -> Self:
        return replace(super().on_cpu(), compile=False, piece=None, cuda_graphs=False)

    def _check_model(self, model: Model) -> None:  # noqa: ARG002
        if self.piece is not None and (not self.compile or self.piece < 1):
            raise JobError(
                f"engine.piece={self.piece}: with engine.compile={str(self.compile).lower()}",
                fix="give a number of at least 1, and engine.compile=true; or omit it",
            )
        if self.cuda_graphs and (not self.compile or self.device is Device.cpu):
            raise JobError(
                f"engine.cuda_graphs=true: with engine.compile={str(self.compile).lower()} and "
                f"engine.device={self.device.value}",
                fix="set engine.compile=true and leave engine.device at auto, or omit engine.cuda_graphs",
            )
        if self.precision is Precision.int8:
            raise JobError(
                "engine.precision=int8: engine=torch does not run networks in it",
                fix="choose engine=openvino, onnxruntime or auto, or engine.precision=auto",
            )


@dataclass
class OnnxEngineConfig(EngineConfig):
    """onnxruntime, on an .onnx file or an export of the network. precision=auto is the precision of the file, and fp32
    for an export.
    """

    name: str = "onnxruntime"
    provider: Provider = Provider.auto
    """onnxruntime's execution provider; the job stops if the requested one is missing."""

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
                fix="choose engine=torch or openvino, or engine.precision=fp32",
            )
        if self.wanted_provider() not in (Provider.auto, Provider.cpu) and self.precision is Precision.int8:
            raise _int8_on_gpu()

    def wanted_provider(self) -> Provider:
        """Returns the provider that ``device`` and ``provider`` together request; auto if neither decides."""
        if self.precision is Precision.int8 and self.provider is Provider.auto:
            return Provider.cpu
        if self.device is Device.auto:
            return self.provider
        device_provider = Provider(self.device.value)
        if self.provider is Provider.auto:
            return device_provider
        if (self.provider is Provider.cpu) == (device_provider is Provider.cpu):
            return self.provider
        raise JobError(
            f"engine.provider={self.provider.value} does not run on engine.device={self.device.value}",
            fix="leave one of the two at auto",
        )


@dataclass
class OpenVinoEngineConfig(EngineConfig):
    """OpenVINO, on CPUs only, for its own format and the models that onnxruntime runs. precision=auto is fp32."""

    name: str = "openvino"
    dynamic: bool = False
    """Run batches of every size in one graph, as `jobs.serve` does. Otherwise each size is compiled, in tenths of a
    second, and runs networks of small layers up to a third faster."""

    @property
    def wants_gpu(self) -> bool | None:
        return False

    def _check_model(self, model: Model) -> None:  # noqa: ARG002
        if self.device is Device.cuda:
            raise JobError(
                "engine.device=cuda: engine=openvino runs only on CPUs", fix="choose engine=torch or onnxruntime"
            )
        if self.precision is Precision.fp16:
            raise JobError(
                "engine.precision=fp16: engine=openvino has fp32 and bf16 on a CPU",
                fix="choose one of the two, or int8",
            )


ENGINE_CONFIGS: dict[str, type[EngineConfig]] = {
    config.name: config for config in (TorchEngineConfig, OnnxEngineConfig, OpenVinoEngineConfig)
}
"""The engines that a job can name, by name."""


def _int8_on_gpu() -> JobError:
    return JobError(
        "engine.precision=int8: runs only on CPUs",
        fix="omit engine.device and engine.provider, or choose engine.precision=fp16",
    )


def default_engine(model: Model) -> EngineConfig:
    """Returns the engine for ``model`` if none is named. Raises `JobError` if the form of the model is unknown."""
    return ENGINE_CONFIGS[form_of(model).engines[0]]()
