r"""Compares all engines and precisions on the same photographs, with the fitted ResNet-18 or another --architecture:
rate, and agreement with the reference. Deliberately wrong engines of the ResNet-18 must be rejected.

    PYTHONPATH=tests/fixtures python tests/benchmarks/engines.py --data FOLDER --images 500 --job
    PYTHONPATH=tests/fixtures python tests/benchmarks/engines.py --data FOLDER --images 64 \
        --architecture timm:resnet50 torchvision:vit_b_16

Creates images and weights in FOLDER unless they exist. Tries one engine after another, each as in a job, with one
thread in its own process, and compares it with the reference under the default tolerance. With --job, whole jobs whose
export was replaced by a wrong one must exit with status 2. Prints JSON, and a table to standard error. Exits with
status 1 if a wrong engine passes or the correct job fails. --only selects engines whose name contains one of the given
words; --without omits them. --forms tries each form of the model that a user may provide. The int8 engines are
quantised on other photographs. ONEDNN_MAX_CPU_ISA=AVX2 limits PyTorch and OpenVINO to the instructions of a CPU without
VNNI.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torchvision_operators  # noqa: F401  before torchvision
from fitted import arguments_of
from photos import NUM_CLASSES, jpeg
from processes import batch_infer, environment
from speed import CACHES, prepare

from actors.columns import PIXELS, STAGE, unpack_pixels
from actors.decoding.config import Decode
from actors.decoding.pixel_blocks import pixel_columns
from actors.engines.candidates import candidates, reference
from actors.engines.configs import (
    ENGINE_CONFIGS,
    AutoEngineConfig,
    EngineConfig,
    OnnxEngineConfig,
    OpenVinoEngineConfig,
    Precision,
    TorchEngineConfig,
)
from actors.engines.graph_source import exported_to_openvino
from actors.engines.hardware import hardware
from actors.engines.tolerance import Tolerance
from actors.errors import JobError
from actors.exporting.export_cache import exported
from actors.exporting.quantisation import NUM_CALIBRATED, quantised
from actors.models.forms import form_of
from actors.models.network import build_network
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.recipe import Recipe
from actors.tasks.classify import Classify
from actors.trials.comparison import Answers, Trial, compare
from actors.trials.engine_trial import try_engine
from jobs.bundling.forms import FormPlan, write_form

RESNET18 = "networks:resnet18"
LAYER = "layer3.1.conv1.weight"


@dataclass(frozen=True)
class Contestant:
    name: str
    engine: EngineConfig
    model: Model
    is_wrong: bool = False


@dataclass(frozen=True)
class TriedEngine:
    """An engine after its trial."""

    name: str
    is_wrong: bool
    verdict: str
    trial: Trial


@dataclass(frozen=True)
class Sample:
    """Input of all engines."""

    pixels: Path
    names: list[str]
    batch_size: int


def main() -> None:
    arguments = parse()
    outputs = arguments.data.resolve() / "outputs"
    shutil.rmtree(outputs, ignore_errors=True)
    outputs.mkdir(parents=True)
    os.environ |= {CACHES[0]: str(outputs / "cache"), "OMP_NUM_THREADS": "1"}
    has_failed = False
    for architecture in arguments.architecture:
        has_failed |= try_architecture(architecture, outputs, arguments)
    sys.exit(int(has_failed))


def try_architecture(architecture: str, outputs: Path, arguments: argparse.Namespace) -> bool:
    """Prints the table of an architecture; returns True if a wrong engine passes or the correct job fails."""
    print(architecture, file=sys.stderr)
    images, weights = prepare(arguments.data, arguments.images, arguments.quality, architecture)
    right = Model(architecture, arguments_of(architecture), str(weights), preprocess=Preprocess())
    show_exports(right)
    wrong = wrong_models(right, outputs) if architecture == RESNET18 else {}
    paths = sorted(images.rglob("*.jpg"))
    sample = Sample(outputs / "pixels.npy", [path.name for path in paths], arguments.batch)
    np.save(sample.pixels, decoded([path.read_bytes() for path in paths], right))
    contestants = [
        one
        for one in (
            *(as_input(right, outputs) if arguments.forms else sound(right)),
            *in_int8(right),
            *broken(wrong),
        )
        if is_wanted(one, arguments.only) and not is_wanted(one, arguments.without)
    ]
    held = list(try_all(contestants, right, sample))
    jobs = whole_jobs(images, right, wrong, outputs) if arguments.job else []
    engines = [asdict(one) for one in held]
    print(json.dumps({"architecture": architecture, "num_images": len(paths), "engines": engines, "jobs": jobs}))
    show(held)
    return any(one.is_wrong and one.verdict == PASSED for one in held) or any(not job["is_right"] for job in jobs)


def show_exports(model: Model) -> None:
    """Prints the seconds taken to make the graphs of ``model`` that engines read, to standard error."""
    network = build_network(model)
    for make in (exported_to_openvino, exported):
        begun = time.perf_counter()
        try:
            made = make(model, network=network).name
        except JobError as error:
            made = error.problem
        print(f"{make.__name__}: {made} in {time.perf_counter() - begun:.1f} s", file=sys.stderr)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of images, weights and outputs, which is kept")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--quality", type=int, default=88, help="quality of the JPEGs")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--architecture", nargs="+", default=[RESNET18])
    parser.add_argument("--only", nargs="*", default=[""], metavar="WORD")
    parser.add_argument("--without", nargs="*", default=[], metavar="WORD")
    parser.add_argument("--forms", action="store_true", help="the model in each form as input, in fp32")
    parser.add_argument("--job", action="store_true", help="also run whole jobs")
    return parser.parse_args()


def is_wanted(one: Contestant, words: list[str]) -> bool:
    return any(word in one.name for word in words)


def decoded(images: list[bytes], model: Model) -> np.ndarray:
    """Returns the pixels as decoded by a job: uint8 (n, height, width, 3)."""
    columns = pixel_columns(images, Decode(), model.preprocess)
    assert columns[STAGE].null_count == len(images), "an image is damaged"
    return unpack_pixels(pa.chunked_array([columns[PIXELS]]), *model.preprocess.size)


def sound(model: Model) -> Iterator[Contestant]:
    """Returns all engines that a job would try here, plus the slower ones."""
    found = candidates(AutoEngineConfig(), model, hardware(with_gpu=torch.cuda.is_available()))
    precisions = (Precision.fp32, Precision.bf16, Precision.fp16)
    found += [
        *(TorchEngineConfig(precision=precision, compile=is_compiled) for is_compiled in (False, True)
          for precision in precisions),
        *(OnnxEngineConfig(precision=precision) for precision in (Precision.fp32, Precision.fp16)),
        *(OpenVinoEngineConfig(precision=precision) for precision in (Precision.fp32, Precision.bf16)),
    ]  # fmt: skip
    right = reference(AutoEngineConfig(), model)
    engines = {engine.label: engine for engine in found if engine.label != right.label}
    return (Contestant(label, engine, model) for label, engine in engines.items())


def as_input(model: Model, folder: Path) -> Iterator[Contestant]:
    """Yields the model in each form that a user may provide, in fp32, for each engine that runs the form."""
    folder = folder / "forms"
    for name, given in {**as_exported(model, folder), "TorchScript": as_script(model, folder / "model.ts")}.items():
        for engine in form_of(given).engines:
            config = replace(ENGINE_CONFIGS[engine](), precision=Precision.fp32)
            yield Contestant(f"{name} in {config.label}", config, given)


def as_exported(model: Model, folder: Path) -> dict[str, Model]:
    """Returns the model in the forms of a bundle, by name."""
    plans = {"ONNX": ("onnx", FormPlan()), "ONNX, external data": ("onnx", FormPlan(separate_weights=True))}
    plans |= {name: (name, FormPlan()) for name in ("openvino", "pt2", "safetensors")}
    given = {}
    for name, (form, plan) in plans.items():
        place = folder / name
        place.mkdir(parents=True)
        given[name] = write_form(form, model, place, plan, {}).model(model, place)
    return given


def as_script(model: Model, path: Path) -> Model:
    """Returns the model as a traced TorchScript archive."""
    torch.jit.trace(build_network(model), torch.rand(2, *model.preprocess.input_shape)).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return replace(model, architecture=None, kwargs={}, checkpoint=str(path), sha256=digest)


def in_int8(model: Model) -> Iterator[Contestant]:
    for engine in (OpenVinoEngineConfig(precision=Precision.int8), OnnxEngineConfig(precision=Precision.int8)):
        yield Contestant(engine.label, engine, model)


def broken(wrong: dict[str, Model]) -> Iterator[Contestant]:
    for how, model in wrong.items():
        for engine in (OnnxEngineConfig(precision=Precision.fp32), OpenVinoEngineConfig(precision=Precision.fp32)):
            yield Contestant(f"{engine.label}, {how}", engine, model, is_wrong=True)


def wrong_models(model: Model, folder: Path) -> dict[str, Model]:
    """Returns recipes whose exports differ from ``model``, by fault."""
    preprocess = model.preprocess
    return {
        "mean and std swapped": replace(
            model, preprocess=replace(preprocess, mean=preprocess.std, std=preprocess.mean)
        ),
        "BGR": changed(model, "conv1.weight", lambda weight: weight.flip(1), folder / "bgr.pt"),
        "a layer disturbed": changed(model, LAYER, disturbed, folder / "disturbed.pt"),
        "a layer transposed": changed(model, LAYER, lambda weight: weight.transpose(0, 1), folder / "transposed.pt"),
    }


def disturbed(weight: torch.Tensor) -> torch.Tensor:
    """Adds noise as large as the weights."""
    generator = torch.Generator().manual_seed(0)
    return weight + weight.std() * torch.randn(weight.shape, generator=generator)


def changed(model: Model, name: str, change: Callable[[torch.Tensor], torch.Tensor], path: Path) -> Model:
    weights = torch.load(model.checkpoint)
    torch.save(weights | {name: change(weights[name]).contiguous()}, path)
    return replace(model, checkpoint=str(path))


def try_all(contestants: list[Contestant], model: Model, sample: Sample) -> Iterator[TriedEngine]:
    """Tries all engines, the reference first."""
    agree = partial(Classify().agreement, tolerance=Tolerance())
    right = Contestant("", reference(AutoEngineConfig(), model), model)
    trial, answers = in_subprocess(tried, right, sample)
    yield TriedEngine(trial.engine, is_wrong=False, verdict="reference", trial=trial)
    for one in contestants:
        print(one.name, file=sys.stderr)
        try:
            trial, given = in_subprocess(tried, one, sample)
        except JobError as error:
            trial = Trial(one.engine.label, breaches=[error.problem])
            yield TriedEngine(one.name, one.is_wrong, "cannot run", trial)
            continue
        trial = compare(answers, trial, given, agree, sample.names)
        yield TriedEngine(one.name, one.is_wrong, REFUSED if trial.breaches else PASSED, trial)


PASSED, REFUSED = "may be taken", "refused"


def in_subprocess(function: Callable[..., Any], *given: Any) -> Any:
    """Returns the result of ``function``, run in its own process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


def tried(one: Contestant, sample: Sample) -> tuple[Trial, Answers]:
    pixels_nhwc = np.load(sample.pixels, mmap_mode="r")
    recipe = Recipe(one.model, replace(one.engine, threads=1), int8_graph=graph_of(one))
    return try_engine(recipe, pixels_nhwc, batch_size=sample.batch_size)


def graph_of(one: Contestant) -> bytes | None:
    """Returns the quantised network if the engine needs one; prints the seconds taken to standard error."""
    if not one.engine.needs_int8_graph(one.model):
        return None
    exported(one.model)
    pixels_nhwc = decoded([jpeg(number) for number in range(2_000_000, 2_000_000 + NUM_CALIBRATED)], one.model)
    begun = time.perf_counter()
    graph = quantised(one.model, pixels_nhwc, is_narrow=hardware(with_gpu=False).saturates_int8)
    print(f"quantised or found in {time.perf_counter() - begun:.1f} s", file=sys.stderr)
    return graph


def whole_jobs(images: Path, right: Model, wrong: dict[str, Model], outputs: Path) -> list[dict[str, Any]]:
    """Runs a job with an explicit engine: with the correct export, then with wrong ones in its place."""
    jobs = [whole_job("the right export", images, right, outputs / "right", expected=0)]
    for how in ("mean and std swapped", "a layer disturbed"):
        in_subprocess(put_in_place, right, wrong[how])
        jobs.append(whole_job(how, images, right, outputs / how.replace(" ", "-"), expected=2))
    return jobs


def whole_job(name: str, images: Path, model: Model, output: Path, *, expected: int) -> dict[str, Any]:
    command = batch_infer(
        "+dataset=images",
        f"dataset.path={images}",
        f"model.architecture={model.architecture}",
        f"+model.kwargs.num_classes={NUM_CLASSES}",
        f"model.checkpoint={model.checkpoint}",
        "engine=onnxruntime",
        f"output.path={output}",
    )
    before = exports()
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "  fix: "))]
    is_right = done.returncode == expected and (not expected or exports() == before)  # it ran the wrong export
    rows = len(list(output.rglob("part-*.parquet")))
    return {"job": name, "status": done.returncode, "is_right": is_right, "num_parts": rows, "said": said}


def exports() -> dict[str, str]:
    """Returns the digests of the exported models in the cache."""
    paths = Path(os.environ[CACHES[0]]).rglob("model.onnx")
    return {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def put_in_place(right: Model, wrong: Model) -> None:
    """Replaces the export of ``right`` with that of ``wrong``, with a valid digest."""
    path = exported(right)
    shutil.copyfile(exported(wrong), path)
    note = path.with_name("digests.json")
    digests = json.loads(note.read_bytes()) | {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    note.write_text(json.dumps(digests))


def show(held: list[TriedEngine]) -> None:
    """Prints the table to standard error."""
    heads = ["engine", "images/s", "top-1", "flips", "margin", "largest", "mean", "output", "verdict"]
    names = (
        "top1_agreement",
        "flips",
        "largest_flip_margin",
        "score_difference",
        "mean_score_difference",
        "output_error",
    )
    lines = [heads]
    for one in held:
        figures = [one.trial.figures.get(name) for name in names]
        cells = ["" if value is None else f"{value:.4g}" for value in figures]
        said = f"{one.verdict}: {one.trial.breaches[0]}" if one.trial.breaches else one.verdict
        rate = f"{one.trial.images_per_s:.1f}" if one.trial.images_per_s else ""
        lines.append([one.name, rate, *cells, said])
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads) - 1)]
    for line in lines:
        cells = [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:], strict=True)]
        print("  ".join([line[0].ljust(widths[0]), *cells, line[-1]]), file=sys.stderr)


if __name__ == "__main__":
    main()
