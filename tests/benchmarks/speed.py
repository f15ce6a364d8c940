"""Compares the whole job with its peers and with the limit, as processes timed from command to exit, in rounds, over
the same JPEGs of 500 by 375 pixels, with a ResNet-18 or another --architecture and the top five classes to Parquet.

    PYTHONPATH=tests/fixtures python tests/benchmarks/speed.py --data FOLDER --images 2000 --rounds 3 \
        --variant engine.precision=fp32 --write docs/figures.md -- OVERRIDES

Creates images and weights in FOLDER unless they exist. Prints JSON, and a table to standard error; --write puts the
table between two markers in a file. OVERRIDES apply to all of our jobs; --variant adds a job with further overrides.
--limit runs the plain loop with these arguments instead of the default: OpenVINO in the best precision of this CPU, one
process per core. --rival adds a DataLoader loop with these arguments, as in --rival="--compile --precision bf16".
--task embed writes the inputs of the last layer instead of classes, and --task detect the boxes of a YOLO network whose
input is 320 by 320 pixels; both omit the peers that cannot.

Each of our jobs runs twice per round: the first command finds neither exported models nor a chosen engine; the second
finds both, but no rows. A rival also runs twice, and its second command finds what torch.compile cached. The limit
finds the model exported. Ratios compare the shortest times, as other load only adds time. All results are compared with
the DataLoader loop, the fp32 reference. Where the best class differs, the margin of the reference (first score minus
second) shows whether it was a tie. Peers that are not installed are omitted.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
from fitted import save_fitted
from photos import NUM_CLASSES, write_photos

from actors.engines.hardware import hardware
from actors.exporting.source_digest import version

HERE = Path(__file__).parent
REFERENCE = "dataloader"
PEERS = ("ray_guide", REFERENCE, "daft_guide")
LONGEST_S = 3600  # a peer that hangs is killed
CACHES = ("SHARDLENS_CACHE", "TORCHINDUCTOR_CACHE_DIR")  # variables that name the folder of what a command keeps
BEGIN, END = "<!-- speed.py: begin -->", "<!-- speed.py: end -->"


def main() -> None:
    arguments = parse()
    images, weights = prepare(arguments.data, arguments.images, arguments.quality, arguments.architecture)
    outputs = arguments.data.resolve() / "outputs"
    shutil.rmtree(outputs, ignore_errors=True)
    variants = [[*arguments.overrides, *shlex.split(variant)] for variant in ("", *arguments.variant)]
    loop = partial(peer, images=images, weights=weights, outputs=outputs)
    is_classify = arguments.task == "classify"
    rivals = [[*shlex.split(options), "--task", arguments.task] for options in arguments.rival]
    options = [shlex.split(options) for options in arguments.limit or [limit()]] if is_classify else []
    limits = [loop("limit", options=one) for one in options]
    contestants = [
        *[loop(name) for name in arguments.peers if is_classify and is_installed(name)],
        *[one for options in rivals for one in twice(loop(REFERENCE, options=options))],
        *limits,
        *[one for overrides in variants for one in jobs(images, weights, outputs, TASKS[arguments.task] + overrides)],
    ]
    os.environ["PYTHONPATH"] = str(HERE.parent / "fixtures")
    os.environ.pop("OMP_NUM_THREADS", None)  # let each use its default number of threads
    for one in limits:
        run(one, "export")
    for number in range(arguments.rounds):
        for one in contestants:
            clear(one)
            seconds, output = run(one, f"round{number}")
            one.seconds.append(seconds)
            one.figures += printed_figures(one, output)
            check_rows(one, arguments.images)
    print(json.dumps(figures(contestants, images), indent=1))
    lines = table(contestants)
    print("\n".join(lines), file=sys.stderr)
    if arguments.write:
        write(arguments.write, [*machine(arguments), "", *lines])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of images, weights and outputs, which is kept")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--quality", type=int, default=88, help="quality of the JPEGs")
    parser.add_argument("--architecture", default="networks:resnet18")
    parser.add_argument("--task", choices=TASKS, default="classify")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    parser.add_argument("--limit", action="append", default=[], metavar="ARGUMENTS")
    parser.add_argument("--rival", action="append", default=[], metavar="ARGUMENTS")
    parser.add_argument("--variant", action="append", default=[], metavar="OVERRIDES")
    parser.add_argument("--write", type=Path, help="file whose lines between the marks are replaced by the table")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE")
    return parser.parse_args()


def prepare(data: Path, num_images: int, quality: int, architecture: str = "networks:resnet18") -> tuple[Path, Path]:
    """Creates the folder of images and file of weights if missing, and reads the images into the page cache."""
    images = data.resolve() / f"images-{num_images}-q{quality}"
    weights = data.resolve() / f"{architecture.replace(':', '-')}.pt"
    if not images.exists():
        unfinished = images.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        write_photos(unfinished, num_images, quality=quality)
        unfinished.rename(images)
    if not weights.exists():
        unfinished = weights.with_suffix(".unfinished")
        save_fitted(unfinished, architecture)
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
    is_first: bool = False
    """True if the command finds nothing that an earlier one kept; otherwise it finds everything except rows."""
    seconds: list[float] = field(default_factory=list)
    """Seconds of each round."""
    figures: list[dict[str, Any]] = field(default_factory=list)
    """Figures printed in each round, if any."""

    @property
    def cache(self) -> Path:
        return self.output.with_suffix(".cache")

    @property
    def least_s(self) -> float:
        return min(self.seconds)


def limit() -> str:
    """Returns the arguments of the fastest plain loop known for this CPU."""
    precision = "bf16" if hardware(with_gpu=False).has_fast_bf16 else "fp32"
    return f"--processes {os.cpu_count()} --engine openvino --precision {precision}"


def is_installed(name: str) -> bool:
    package = "daft" if name.startswith("daft") else "torch"
    if importlib.util.find_spec(package) is None:
        print(f"{name}: left out, as {package} is not installed", file=sys.stderr)
        return False
    return True


def peer(script: str, images: Path, weights: Path, outputs: Path, options: Sequence[str] = ()) -> Contestant:
    name = " ".join([script, *options])
    output = outputs / f"{file_name(name)}.parquet"
    command = [sys.executable, HERE / "peers" / f"{script}.py", images, weights, output, *options]
    return Contestant(name, command, output, rows=output)


PREPROCESS = {
    "resize": 256,
    "crop": 224,
    "interpolation": "bilinear",
    "mean": "[0.485,0.456,0.406]",
    "std": "[0.229,0.224,0.225]",
}
"""The transform of all peers, which may differ from the architecture's own."""


TASKS = {
    "classify": [],
    "detect": ["task=detect", "model.preprocess.resize=[320,320]", "model.preprocess.crop=null"],
    "embed": ["task=embed"],
}
"""Overrides of each task."""


def jobs(images: Path, weights: Path, outputs: Path, overrides: list[str]) -> list[Contestant]:
    """Returns the first and the second command of a job."""
    name = " ".join(["ours", *overrides])
    output = outputs / file_name(name)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "jobs.batch_infer",
        "+dataset=images",
        f"dataset.path={images}",
        f"model.architecture={weights.stem.replace('-', ':', 1)}",
        f"+model.kwargs.num_classes={NUM_CLASSES}",
        f"model.checkpoint={weights}",
        *[f"model.preprocess.{name}={value}" for name, value in PREPROCESS.items()],
        f"output.path={output}",
        *overrides,
    ]
    return twice(Contestant(name, command, output, rows=output / "rows", is_ours=True))


def twice(one: Contestant) -> list[Contestant]:
    """Returns the first command of a contestant, and the second, which finds what the first keeps."""
    return [
        replace(one, name=f"{one.name}, {which} command", is_first=which == "first", seconds=[], figures=[])
        for which in ("first", "second")
    ]


def file_name(name: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in name)


def clear(one: Contestant) -> None:
    """Deletes the rows of the last round and, before a first command, everything that is kept."""
    is_second_of_ours = one.is_ours and not one.is_first
    stale = [one.output / name for name in ("rows", "errors", "runs")] if is_second_of_ours else [one.output]
    for path in [*stale, one.cache] if one.is_first else stale:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def run(one: Contestant, name: str) -> tuple[float, str]:
    """Returns the seconds from command to exit, and standard output. Standard error goes to a log beside the output."""
    one.output.parent.mkdir(parents=True, exist_ok=True)
    log = one.output.with_suffix(f".{name}.log")
    with log.open("w") as errors:
        started = time.monotonic()
        environment = os.environ | {name: str(one.cache) for name in CACHES}
        done = subprocess.run(
            one.command, check=False, stdout=subprocess.PIPE, stderr=errors, timeout=LONGEST_S, env=environment
        )
        seconds = time.monotonic() - started
    if done.returncode:
        raise SystemExit(f"{one.name} ended with {done.returncode}; see {log}")
    return seconds, done.stdout.decode()


def printed_figures(one: Contestant, output: str) -> list[dict[str, Any]]:
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
        "figures": {one.name: one.figures for one in contestants if one.figures},
        "num_boxes": {one.name: number for one in contestants if (number := count_boxes(one.rows)) is not None},
        "agreement": {name: agreement(reference, rows) for name, rows in answers.items() if reference and rows},
    }


def ratio(ours: Contestant, other: Contestant) -> float:
    """Returns the ratio of our shortest time to the other's: other load on the machine only adds time."""
    return ours.least_s / other.least_s


Answers = dict[str, tuple[list[int], list[float]]]


def read_answers(rows: Path) -> Answers:
    """Returns the best classes and their scores, best first, by file name of the image; empty if there are none."""
    dataset = ds.dataset(rows, format="parquet")
    columns = ["uri", "top_label_ids", "top_scores"]
    if not set(columns) <= set(dataset.schema.names):
        return {}
    uris, ids, scores = (column.to_pylist() for column in dataset.to_table(columns).columns)
    names = [uri.rpartition("/")[2] for uri in uris]
    return dict(zip(names, zip(ids, scores, strict=True), strict=True))


def count_boxes(rows: Path) -> int | None:
    """Returns the number of detections; None if there is no such column."""
    dataset = ds.dataset(rows, format="parquet")
    if "detections" not in dataset.schema.names:
        return None
    return sum(map(len, dataset.to_table(["detections"])["detections"].to_pylist()))


def agreement(reference: Answers, answers: Answers) -> dict[str, Any]:
    """Returns the agreement of ``answers`` with the reference: its margins where the best class differs, and the
    differences between scores of the same class.
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


def table(contestants: list[Contestant]) -> list[str]:
    """Returns the lines of a Markdown table: shortest and median seconds, and the ratios of the shortest."""
    ours = [one for one in contestants if one.is_ours]
    rows = [["", "least s", "median s", *(f"{one.name} takes" for one in ours)], ["---"] * (3 + len(ours))]
    for one in contestants:
        ratios = ["" if one.is_ours else f"{ratio(job, one):.2f}" for job in ours]
        rows.append([one.name, f"{one.least_s:.1f}", f"{statistics.median(one.seconds):.1f}", *ratios])
    return ["| " + " | ".join(row) + " |" for row in rows]


def machine(arguments: argparse.Namespace) -> list[str]:
    found = hardware(with_gpu=False)
    libraries = [("ray", version("ray")), *found.libraries]
    return [
        f"{arguments.images:,} images, {arguments.rounds} rounds, {time.strftime('%Y-%m-%d')}.",
        f"{os.cpu_count()} threads of {found.cpu} ({', '.join(found.cpu_features)});",
        f"{', '.join(' '.join(library) for library in libraries)}.",
    ]


def write(path: Path, lines: list[str]) -> None:
    """Replaces the lines between the markers."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path} has no lines {BEGIN} and {END}")
    path.write_text("\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"]))


if __name__ == "__main__":
    main()
