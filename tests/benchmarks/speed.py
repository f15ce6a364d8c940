"""Compares the whole job with its peers and with the limit: processes from command to exit, alternating in rounds, over
the same JPEGs of 500 by 375 pixels, with a ResNet-18 and the top five classes to Parquet.

    PYTHONPATH=tests/fixtures python tests/benchmarks/speed.py --data FOLDER --images 2000 --rounds 3 \
        --variant engine.precision=fp32 --limit "--processes 2 --engine openvino --precision bf16" -- OVERRIDES

makes images and weights in FOLDER unless they exist. Prints JSON, and a table on standard error. OVERRIDES apply to all
of our jobs; --variant adds a job with further overrides, and --limit a run of the plain loop with these arguments.
Every run is cold, without the exported models and the chosen engine of the one before, unless --warm is given. All
results are compared with the DataLoader loop, the fp32 reference. Where the best class differs, the margin of the
reference (first score minus second) shows whether it was a tie.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
from fitted import save_fitted_resnet18
from photos import NUM_CLASSES, write_photos

HERE = Path(__file__).parent
REFERENCE = "dataloader"
PEERS = ("ray_guide", REFERENCE, "daft_guide")
LONGEST_S = 3600  # a peer that hangs is killed
CACHE = "SHARDLENS_CACHE"  # the variable that names the folder of exported models


def main() -> None:
    arguments = parse()
    images, weights = prepare(arguments.data, arguments.images, arguments.quality)
    outputs = arguments.data.resolve() / "outputs"
    shutil.rmtree(outputs, ignore_errors=True)
    variants = [[*arguments.overrides, *shlex.split(variant)] for variant in ("", *arguments.variant)]
    contestants = [
        *[peer(name, images, weights, outputs) for name in arguments.peers],
        *[peer("limit", images, weights, outputs, shlex.split(options)) for options in arguments.limit],
        *[job(images, weights, outputs, overrides) for overrides in variants],
    ]
    os.environ |= {"PYTHONPATH": str(HERE.parent / "fixtures"), CACHE: str(outputs / "cache")}
    os.environ.pop("OMP_NUM_THREADS", None)  # let each use its default number of threads
    for one in contestants if arguments.warm else ():
        if one.name not in PEERS:
            run(one, "warming")
    for number in range(arguments.rounds):
        for one in contestants:
            clear(one, is_warm=arguments.warm)
            seconds, output = run(one, f"round{number}")
            one.seconds.append(seconds)
            one.said += told(one, output)
            check_rows(one, arguments.images)
    print(json.dumps(figures(contestants, images), indent=1))
    show(contestants)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of images, weights and outputs, which is kept")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--quality", type=int, default=88, help="quality of the JPEGs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    parser.add_argument("--limit", action="append", default=[], metavar="ARGUMENTS")
    parser.add_argument("--variant", action="append", default=[], metavar="OVERRIDES")
    parser.add_argument("--warm", action="store_true", help="keep the engine choices and exports of earlier runs")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE")
    return parser.parse_args()


def prepare(data: Path, num_images: int, quality: int) -> tuple[Path, Path]:
    """Folder of images and file of weights, created if missing; reads the images into the page cache."""
    images, weights = data.resolve() / f"images-{num_images}-q{quality}", data.resolve() / "resnet18.pt"
    if not images.exists():
        unfinished = images.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        write_photos(unfinished, num_images, quality=quality)
        unfinished.rename(images)
    if not weights.exists():
        unfinished = weights.with_suffix(".unfinished")
        save_fitted_resnet18(unfinished)
        unfinished.rename(weights)
    for path in images.rglob("*.jpg"):
        path.read_bytes()
    return images, weights


@dataclass
class Contestant:
    name: str
    command: list[str | Path]
    output: Path
    rows: Path
    is_ours: bool = False
    seconds: list[float] = field(default_factory=list)
    """Seconds of each round."""
    said: list[dict[str, Any]] = field(default_factory=list)
    """Figures that it printed in each round, if any."""


def peer(script: str, images: Path, weights: Path, outputs: Path, options: Sequence[str] = ()) -> Contestant:
    name = " ".join([script, *options])
    output = outputs / f"{file_name(name)}.parquet"
    command = [sys.executable, HERE / "peers" / f"{script}.py", images, weights, output, *options]
    return Contestant(name, command, output, rows=output)


def job(images: Path, weights: Path, outputs: Path, overrides: list[str]) -> Contestant:
    name = " ".join(["ours", *overrides])
    output = outputs / file_name(name)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "jobs.batch_infer",
        "+dataset=images",
        f"dataset.path={images}",
        "model.architecture=networks:resnet18",
        f"+model.kwargs.num_classes={NUM_CLASSES}",
        f"model.checkpoint={weights}",
        f"output.path={output}",
        *overrides,
    ]
    return Contestant(name, command, output, rows=output / "rows", is_ours=True)


def file_name(name: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in name)


def clear(one: Contestant, *, is_warm: bool) -> None:
    """Deletes the rows of the last round, and its caches unless this round is warm."""
    keeps = is_warm and one.is_ours
    stale = [one.output / name for name in ("rows", "errors", "runs")] if keeps else [one.output]
    for path in stale if is_warm else [*stale, Path(os.environ[CACHE])]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def run(one: Contestant, name: str) -> tuple[float, str]:
    """Seconds from command to exit, and standard output; standard error goes to a log next to the output."""
    one.output.parent.mkdir(parents=True, exist_ok=True)
    log = one.output.with_suffix(f".{name}.log")
    with log.open("w") as errors:
        started = time.monotonic()
        done = subprocess.run(one.command, check=False, stdout=subprocess.PIPE, stderr=errors, timeout=LONGEST_S)
        seconds = time.monotonic() - started
    if done.returncode:
        raise SystemExit(f"{one.name} ended with {done.returncode}; see {log}")
    return seconds, done.stdout.decode()


def told(one: Contestant, output: str) -> list[dict[str, Any]]:
    if one.is_ours:
        report = json.loads((Path(output.splitlines()[-1]) / "report.json").read_text())
        return [{key: report[key] for key in ("images_per_s", "elapsed_s", "execution")}]
    return [json.loads(output.splitlines()[-1])] if one.name.startswith("limit") else []


def check_rows(one: Contestant, num_images: int) -> None:
    if (num_rows := ds.dataset(one.rows, format="parquet").count_rows()) != num_images:
        raise SystemExit(f"{one.name} gave {num_rows} rows for {num_images} images")


def figures(contestants: list[Contestant], images: Path) -> dict[str, Any]:
    sizes = [path.stat().st_size for path in images.rglob("*.jpg")]
    answers = {one.name: read_answers(one.rows) for one in contestants}
    reference = answers.get(REFERENCE)
    return {
        "num_images": len(sizes),
        "mean_image_bytes": round(statistics.mean(sizes)),
        "seconds": {one.name: [round(seconds, 2) for seconds in one.seconds] for one in contestants},
        "ratios": {
            ours.name: {other.name: round(ratio(ours, other), 3) for other in contestants if not other.is_ours}
            for ours in contestants
            if ours.is_ours
        },
        "said": {one.name: one.said for one in contestants if one.said},
        "agreement": {name: agreement(reference, rows) for name, rows in answers.items() if reference and rows},
    }


def ratio(ours: Contestant, other: Contestant) -> float:
    """Ratio of our seconds to those of the other: median over rounds, since the load varies between them."""
    return statistics.median(a / b for a, b in zip(ours.seconds, other.seconds, strict=True))


Answers = dict[str, tuple[list[int], list[float]]]


def read_answers(rows: Path) -> Answers:
    """Best classes and their scores, best first, by file name of the image; empty if there are none."""
    dataset = ds.dataset(rows, format="parquet")
    columns = ["uri", "top_label_ids", "top_scores"]
    if not set(columns) <= set(dataset.schema.names):
        return {}
    uris, ids, scores = (column.to_pylist() for column in dataset.to_table(columns).columns)
    names = [uri.rpartition("/")[2] for uri in uris]
    return dict(zip(names, zip(ids, scores, strict=True), strict=True))


def agreement(reference: Answers, answers: Answers) -> dict[str, Any]:
    """Agreement of ``answers`` with the reference: margins of the reference where the best class differs, and
    differences in the scores of the same class.
    """
    margins, differences = [], []
    for name, (ids, scores) in reference.items():
        other_ids, other_scores = answers[name]
        if other_ids[0] != ids[0]:
            margins.append(scores[0] - scores[1])
        others = dict(zip(other_ids, other_scores, strict=True))
        differences += [abs(score - others[label]) for label, score in zip(ids, scores, strict=True) if label in others]
    return {
        "num_flips": len(margins),
        "flip_ratio": round(len(margins) / len(reference), 5),
        "margins_at_flips": sorted(round(margin, 4) for margin in margins),
        "largest_score_difference": round(max(differences), 5),
        "mean_score_difference": round(statistics.mean(differences), 6),
    }


def show(contestants: list[Contestant]) -> None:
    """Prints the medians as a table on standard error."""
    ours = [one for one in contestants if one.is_ours]
    lines = [["", "seconds", *(f"{one.name} /" for one in ours)]]
    for one in contestants:
        ratios = [f"{ratio(job, one):.2f}" if job is not one else "" for job in ours]
        lines.append([one.name, f"{statistics.median(one.seconds):.1f}", *ratios])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    for line in lines:
        cells = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join([line[0].ljust(widths[0]), *cells]), file=sys.stderr)


if __name__ == "__main__":
    main()
