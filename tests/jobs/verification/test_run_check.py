from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from places import Place, local_place
from published import PublishedRun, break_byte, ranges_of

from actors.storage.store import Storage
from jobs.verification.findings import Status, Verdict
from jobs.verification.output_files import list_output
from jobs.verification.run_check import verify_run

Damage = Callable[[PublishedRun], object]


def verdict_of(place: Place, run: PublishedRun, *others: PublishedRun) -> Verdict:
    for one in (run, *others):
        one.put(place)
    return verify_run(list_output(place.root, Storage(place.options)), run.run_id, wants_digest=True)


def damaged(damage: Damage, folder: Path) -> list[str]:
    """Returns the findings about a run after the damage, without the name of the run."""
    run = PublishedRun()
    damage(run)
    verdict = verdict_of(local_place(folder), run)
    assert verdict.status is Status.refuted
    assert verdict.digest is None
    first, *findings = verdict.lines()
    assert first.startswith("run r1: refuted: ")
    return [line.removeprefix("run r1: ") for line in findings]


def test_a_whole_run_is_proven(place: Place) -> None:
    verdict = verdict_of(place, PublishedRun())
    (line,) = verdict.lines()
    assert line.startswith("run r1: proven: 8 listed = 7 ok + 1 errors; 3 parts; rows digest ")


def test_a_damaged_and_a_missing_part_on_any_storage(place: Place) -> None:
    run = PublishedRun()
    first, second = run.of("rows")
    run.files[first] = break_byte(run.files[first], 100)
    del run.files[second]
    lines = list(verdict_of(place, run).lines())
    assert lines[0].endswith("refuted: 8 listed, 3 ok + 1 errors found; 3 parts; 6 findings")
    assert lines[1].startswith(f"run r1: wrong digest: {first}: the digest of its bytes is ")
    assert lines[2:4] == [
        f"run r1: missing part: {second}",
        "run r1: wrong total: manifest.json: num_ok is 7, but 3 rows were counted",
    ]
    assert lines[5:] == [
        "run r1: missing rows: shard 0: row 4 (1 row)",
        "run r1: missing rows: shard 1: rows 0-2 (3 rows)",
    ]


def test_no_images_at_all(tmp_path: Path) -> None:
    verdict = verdict_of(local_place(tmp_path), PublishedRun(names=(), bad=(), cut=()))
    assert next(verdict.lines()).startswith("run r1: proven: 0 listed = 0 ok + 0 errors; 0 parts; rows digest ")


def test_an_inventory_of_several_files_and_scattered_errors(tmp_path: Path) -> None:
    names = [[f"{shard}-{row}" for row in range(3)] for shard in range(130)]
    bad = [(shard, shard % 3) for shard in range(0, 130, 2)]
    verdict = verdict_of(local_place(tmp_path), PublishedRun(names=names, bad=bad, cut=(7, 200, 301)))
    assert next(verdict.lines()).startswith("run r1: proven: 390 listed = 325 ok + 65 errors; 8 parts; ")


def test_the_digest_does_not_depend_on_the_cut_or_the_run(tmp_path: Path) -> None:
    digests = {
        verdict_of(local_place(tmp_path / str(number)), PublishedRun(f"r{number}", cut=cut)).digest
        for number, cut in enumerate([(), (4,), (1, 2, 6)])
    }
    assert len(digests) == 1
    other = PublishedRun(bad=((0, 2),))
    assert verdict_of(local_place(tmp_path / "other"), other).digest not in digests
    unread = verify_run(list_output(str(tmp_path / "other"), Storage()), "r1", wants_digest=False)
    assert (unread.status, unread.digest) == (Status.proven, None)


def drop_manifest_entry(run: PublishedRun) -> None:
    run.edit("manifest.json", lambda content: content["rows"].pop(0))


def copy_unnamed(run: PublishedRun) -> None:
    run.files[run.of("rows")[0].replace("part-000000", "part-000007")] = run.files[run.of("rows")[0]]


def copy_named(run: PublishedRun) -> None:
    def double(content: dict) -> None:
        copied = content["rows"][0]
        content["rows"].append(copied | {"file": copied["file"].replace("part-000000", "part-000007")})

    copy_unnamed(run)
    run.edit("manifest.json", double)


def name_twice(run: PublishedRun) -> None:
    run.edit("manifest.json", lambda content: content["rows"].append(content["rows"][0]))


def swap_rows(run: PublishedRun) -> None:
    name = run.of("rows")[0]
    table = run.table(name)
    run.rewrite(name, table.take(pa.array([1, 0, *range(2, len(table))])))


def change_column(column: str, values: pa.Array, folder: str = "rows") -> Damage:
    def change(run: PublishedRun) -> None:
        name = run.of(folder)[0]
        table = run.table(name)
        run.rewrite(name, table.set_column(table.column_names.index(column), column, [values]))

    return change


def shift_ranges(run: PublishedRun) -> None:
    name = run.of("rows")[-1]
    run.rewrite(name, run.table(name), ranges_of([(0, 4), (1, 0), (1, 1), (1, 3)]))


def tell_other_ranges(run: PublishedRun) -> None:
    def change(content: dict) -> None:
        content["rows"][0]["ranges"] = {"0": [[0, 3]]}

    run.edit("manifest.json", change)


def forget_rows(run: PublishedRun) -> None:
    name = run.of("rows")[-1]
    run.rewrite(name, run.table(name).slice(1))


def null_results(run: PublishedRun) -> None:
    name = run.of("rows")[-1]
    table = run.table(name)
    task = table.column_names[4:]
    empty = pa.table({key: pa.nulls(1, table.schema.field(key).type) for key in task})
    kept = table.slice(3, 1).select([0, 1, 2, 3])
    for key in task:
        kept = kept.append_column(key, empty[key])
    run.rewrite(name, pa.concat_tables([table.slice(0, 3), kept]))


def retype(run: PublishedRun) -> None:
    name = run.of("rows")[-1]
    table = run.table(name)
    index = table.column_names.index("score")
    run.rewrite(name, table.set_column(index, "score", table["score"].cast(pa.float64())))


def drop_carried(run: PublishedRun) -> None:
    for name in run.of("rows"):
        run.rewrite(name, run.table(name).drop_columns(["target"]))


def total(**numbers: int) -> Damage:
    return lambda run: run.edit("manifest.json", lambda content: content.update(numbers))


def strange(name: str) -> Damage:
    return lambda run: run.files.update({name: b"not mine"})


def cut_part(run: PublishedRun) -> None:
    name = run.of("rows")[0]
    run.files[name] = run.files[name][:-20]


def break_footer(run: PublishedRun) -> None:
    name = run.of("rows")[0]
    run.files[name] = break_byte(run.files[name], len(run.files[name]) - 1)


ROWS = "rows/model=m0123456789abcde/run=r1"


@pytest.mark.parametrize(
    ("damage", "kinds", "said"),
    [
        (cut_part, ["wrong size", "wrong digest", "wrong total", "missing rows"], "shard 0: rows 0, 2-3 (3 rows)"),
        (break_footer, ["wrong digest", "wrong total", "missing rows"], "rows 0, 2-3"),
        (drop_manifest_entry, ["stranger file", "wrong total"], "num_ok is 7, but 4 rows were counted"),
        (copy_unnamed, ["stranger file", "doubled rows"], "shard 0: rows 0, 2-3 (3 rows)"),
        (copy_named, ["wrong total", "doubled rows"], "shard 0: rows 0, 2-3 (3 rows)"),
        (name_twice, ["wrong document", "wrong total", "doubled rows"], "2 times"),
        (swap_rows, ["wrong rows"], "shard 0: rows 0, 2 (2 rows): image_id differs from the inventory"),
        (
            change_column("image_id", pa.array(["a", "c", "x"])),
            ["wrong rows"],
            "shard 0: row 3 (1 row): image_id differs",
        ),
        (change_column("uri", pa.array(["u", "v", "w"])), ["wrong rows"], "rows 0, 2-3 (3 rows): uri differs"),
        (change_column("target", pa.array([None, "C", None], pa.string())), ["wrong rows"], "row 3 (1 row): target"),
        (change_column("weight", pa.array([1 / 3, float("nan"), 1 / 3])), ["wrong rows"], "row 2 (1 row): weight"),
        (change_column("stage", pa.array([""]), "errors"), ["wrong rows"], "shard 0: row 1 (1 row): stage is empty"),
        (change_column("message", pa.array([""]), "errors"), ["wrong rows"], "message is empty"),
        (null_results, ["wrong rows"], "shard 1: row 2 (1 row): all task columns are null"),
        (shift_ranges, ["missing rows", "never listed rows"], "never listed rows: shard 1: row 3 (1 row)"),
        (tell_other_ranges, ["wrong receipt"], "other rows than the manifest"),
        (forget_rows, ["wrong receipt", "wrong total"], "its receipt names 4 rows, but the file holds 3"),
        (retype, ["other columns"], "differ from those of rows/"),
        (drop_carried, ["wrong columns"], "column target is missing, though the inventory has it"),
        (total(num_ok=8), ["wrong total"], "num_ok is 8, but 7 rows were counted"),
        (total(num_errors=0), ["wrong total"], "num_errors is 0, but 1 rows were counted"),
        (total(num_listed=9), ["wrong document", "wrong total"], "num_listed is 9, but the inventory says 8"),
        (strange(f"{ROWS}/notes.txt"), ["stranger file"], f"{ROWS}/notes.txt"),
        (strange(f"{ROWS}/.part-000000-x.parquet.1.tmp"), ["stranger file"], ".part-000000-x.parquet.1.tmp"),
        (strange(f"{ROWS}/part-000003-{'0' * 32}.parquet"), ["stranger file"], "a late part; run the same"),
        (strange(f"{ROWS}/part-000003-half.parquet"), ["stranger file"], "part-000003-half.parquet"),
        (strange("rows/model=other/run=r1/part-1.parquet"), ["stranger file"], "rows/model=other/run=r1"),
        (strange("errors/model=m0123456789abcde/run=r1/x.parquet"), ["stranger file"], "run=r1/x.parquet"),
        (lambda run: run.files.pop("runs/r1/run.json"), ["missing document"], "runs/r1/run.json"),
        (
            lambda run: run.files.pop("runs/r1/inventory/inventory-00000.parquet"),
            ["wrong inventory"],
            "inventory-00000.parquet: missing",
        ),
    ],
)
def test_damage_is_found_and_named(damage: Damage, kinds: list[str], said: str, tmp_path: Path) -> None:
    lines = damaged(damage, tmp_path)
    assert list(dict.fromkeys(line.partition(": ")[0] for line in lines)) == kinds, lines
    assert any(said in line for line in lines), lines


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"run_id": 3}'])
def test_a_manifest_that_is_none(text: bytes, tmp_path: Path) -> None:
    (line,) = damaged(lambda run: run.files.update({"runs/r1/manifest.json": text}), tmp_path)
    assert line.startswith("wrong document: runs/r1/manifest.json: ")


def test_a_manifest_that_is_gone(tmp_path: Path) -> None:
    lines = damaged(lambda run: run.files.pop("runs/r1/manifest.json"), tmp_path)
    assert lines == ["missing document: runs/r1/manifest.json"]


def test_any_bit_of_a_part(tmp_path: Path) -> None:
    size = len(PublishedRun().files[PublishedRun().of("rows")[0]])
    for place in [*range(0, size, 499), size - 5, size - 1]:

        def damage(run: PublishedRun, place: int = place) -> None:
            name = run.of("rows")[0]
            run.files[name] = break_byte(run.files[name], place)

        assert any(line.startswith("wrong digest: rows/") for line in damaged(damage, tmp_path / str(place)))


def test_a_run_that_did_not_end_is_not_refuted(place: Place) -> None:
    run = PublishedRun()
    for name in ("_SUCCESS", "manifest.json"):
        del run.files[f"runs/r1/{name}"]
    del run.files[run.of("rows")[1]]
    run.files[f"{ROWS}/.part-000003-x.parquet.1.tmp"] = b"half"
    run.files[f"{ROWS}/part-000003-half.parquet"] = b"half"
    verdict = verdict_of(place, run)
    assert verdict.status is Status.unfinished
    assert list(verdict.lines()) == ["run r1: unfinished: 8 listed, 3 ok + 1 errors in 3 parts"]


def test_a_run_that_never_opened(tmp_path: Path) -> None:
    run = PublishedRun()
    run.files = {"runs/r1/config.yaml": b""}
    assert list(verdict_of(local_place(tmp_path), run).lines()) == [
        "run r1: unfinished: nothing listed, 0 ok + 0 errors in 0 parts"
    ]


def test_error_rows_that_moved_are_counted_once(tmp_path: Path) -> None:
    run, other = PublishedRun(), PublishedRun("r2", names=[["b"]], bad=(), cut=(), mode="redrive", redrives=["r1"])
    run.edit("manifest.json", lambda content: content.update(redriven_by="r2"))
    for name in run.of("errors"):
        del run.files[name]
    verdict = verdict_of(local_place(tmp_path), run, other)
    (line,) = verdict.lines()
    assert "proven: 8 listed = 7 ok + 1 errors; 2 parts; rows digest " in line
    assert line.endswith("; its error rows moved to run r2")
    assert verdict_of(local_place(tmp_path), other).status is Status.proven


def test_what_is_wrong_many_times_is_counted(tmp_path: Path) -> None:
    names = [[f"{shard}"] for shard in range(130)]
    run = PublishedRun(names=names, bad=(), cut=())
    del run.files[run.of("rows")[0]]
    lines = list(verdict_of(local_place(tmp_path), run).lines())
    assert len([line for line in lines if "missing rows: shard" in line]) == 20
    assert lines[-1] == "run r1: missing rows: 110 more, 130 in all"
    assert json.loads(run.files["runs/r1/run.json"])["num_shards"] == 130
