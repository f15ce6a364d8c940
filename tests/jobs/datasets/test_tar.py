from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile

import pytest
from tars import tar_of

from actors.errors import JobError
from jobs.datasets.passed_over import PassedOver
from jobs.datasets.tar import KEY, TarSample, read_samples

IMAGES = {f"images/{number:03}.jpg": b"image %d " % number * 300 for number in range(50)}


def samples(data: bytes, columns: tuple[str, ...] = ()) -> list[TarSample]:
    return list(read_samples(io.BytesIO(data), "x.tar", columns))


def names(data: bytes) -> list[str]:
    return [member.name for sample in samples(data) for member in sample.members.values()]


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_member_is_found_where_its_bytes_are(tar_format: int) -> None:
    data = tar_of(IMAGES, tar_format)
    found = [member for sample in samples(data) for member in sample.members.values()]
    assert {member.name: data[member.offset :][: member.size] for member in found} == IMAGES


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_kind(tar_format: int) -> None:
    odd = ["a/" * 80 + "deep.jpg", "x" * 240 + ".jpg", "日本/写真 #?%20.jpg", "./dot.jpg", "/abs.jpg", "line\nfeed.jpg"]
    data = tar_of(dict.fromkeys(odd, b"x"), tar_format)
    assert names(data) == odd


def test_a_name_that_is_not_utf8_is_encoded() -> None:
    data = tar_of({"a \udcff.jpg": b"x"}, tarfile.GNU_FORMAT)
    assert names(data) == ["a%20%FF.jpg"]


def tar_with(*members: tuple[str, bytes, str]) -> bytes:
    """Returns a tar of empty members, each given by name, type and link target."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, kind, target in members:
            header = tarfile.TarInfo(name)
            header.type, header.linkname = kind, target
            tar.addfile(header, io.BytesIO())
    return sink.getvalue()


def test_what_is_no_file_is_counted_by_reason() -> None:
    data = tar_with(
        ("d.jpg", tarfile.DIRTYPE, ""),
        ("l.jpg", tarfile.SYMTYPE, "a.jpg"),
        ("h.jpg", tarfile.LNKTYPE, "nowhere.jpg"),
        ("p.jpg", tarfile.FIFOTYPE, ""),
        *((name, tarfile.REGTYPE, "") for name in ("a.jpg", "./b.jpg", "._a.jpg", ".cache/c.jpg", "noending")),
    )
    passed_over = PassedOver()
    found = [name for sample in read_samples(io.BytesIO(data), "x.tar", (), passed_over) for name in sample.members]
    assert len(found) == 2
    assert passed_over.counts == {"link": 2, "special file": 1, "hidden": 2, "extension": 1}
    assert passed_over.examples["link"] == ["x.tar#l.jpg", "x.tar#h.jpg"]


def test_a_hard_link_is_the_file_that_it_names() -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, content in (("a.jpg", b"first"), ("b.jpg", None), ("a.jpg", b"second"), ("c.jpg", None)):
            header = tarfile.TarInfo(name)
            header.size = len(content or b"")
            if content is None:
                header.type, header.linkname = tarfile.LNKTYPE, "a.jpg"
            tar.addfile(header, io.BytesIO(content or b""))
        header = tarfile.TarInfo("d.jpg")
        header.type, header.linkname = tarfile.LNKTYPE, "c.jpg"  # itself a link
        tar.addfile(header)
    data = sink.getvalue()
    members = [sample.members["jpg"] for sample in samples(data)]
    read = [(member.name, data[member.offset :][: member.size]) for member in members]
    expected = [b"first", b"first", b"second", b"second", b"second"]
    assert read == list(zip(["a.jpg", "b.jpg", "a.jpg", "c.jpg", "d.jpg"], expected, strict=True))


def test_half_a_character_is_replaced() -> None:
    tar = tar_of({"1.jpg": b"", "1.json": b'{"a": "nice \\ud83d", "b": ["\\ud83d\\ude00"], "c": ["\\ude00"]}'})
    (sample,) = samples(tar, ("a", "b", "c"))
    assert {name: sample.texts[name] for name in "abc"} == {
        "a": "nice \ufffd",
        "b": '["\U0001f600"]',
        "c": '["\ufffd"]',
    }


def test_members_with_one_key_are_one_sample() -> None:
    members = ["b/1.jpg", "b/1.cls", "b/1.seg.PNG", "c/1.jpg", "b/1.json", "2.jpg"]
    found = [(sample.key, list(sample.members)) for sample in samples(tar_of(dict.fromkeys(members, b"")))]
    assert found == [("b/1", ["jpg", "cls", "seg.png"]), ("c/1", ["jpg"]), ("b/1", ["json"]), ("2", ["jpg"])]


def test_the_same_name_again_is_another_sample() -> None:
    data = tar_of({"1.jpg": b"old"})[:1024] + tar_of({"1.jpg": b"new"})
    assert [data[s.members["jpg"].offset :][:3] for s in samples(data)] == [b"old", b"new"]


def test_texts_and_json_values() -> None:
    fields = {"width": 40, "tags": ["é", None], "name": "ü", "nothing": None, "cls": "json loses"}
    members = {"1.json": json.dumps(fields).encode(), "1.jpg": b"", "1.cls": b" 7\n", "2.jpg": b""}
    wanted = ("width", "tags", "name", "nothing", "cls", "absent")
    first, second = samples(tar_of(members), wanted)
    assert first.texts == {KEY: "1", "width": "40", "tags": '["é", null]', "name": "ü", "cls": "7"}
    assert second.texts == {KEY: "2"}


def test_an_empty_tar_has_no_samples() -> None:
    assert samples(tar_of({})) == []


@pytest.mark.parametrize("length", [0, 100, 512, 700, 5000, 20_480, 512 + 512 * 6, -1024, -10_240])
def test_a_cut_tar_is_an_error_wherever_it_was_cut(length: int) -> None:
    data = tar_of(IMAGES)
    end = data.rstrip(b"\0")  # the end-of-archive marker and the padding are zeros
    cut = data[:length] if length >= 0 else data[: len(end) + 512 - len(end) % 512 + length]
    with pytest.raises(JobError, match=r"dataset\.path=x\.tar: "):
        samples(cut)


def test_a_tar_that_lost_its_end_mark_alone() -> None:
    data = tar_of({"1.jpg": b"x" * 512})
    assert names(data[: 512 * 4]) == ["1.jpg"]
    with pytest.raises(JobError, match="no end-of-archive marker"):
        samples(data[: 512 * 2])


def test_a_damaged_header_in_the_middle() -> None:
    data = bytearray(tar_of(IMAGES))
    header = bytes(data).index(b"images/025.jpg")
    data[header + 150] ^= 0xFF
    with pytest.raises(JobError, match="damaged header at byte"):
        samples(bytes(data))


def test_several_tars_in_one_file() -> None:
    with pytest.raises(JobError, match="several tars are concatenated"):
        samples(tar_of({"1.jpg": b"x"}) + tar_of({"2.jpg": b"x"}))


@pytest.mark.parametrize(("pack", "kind"), [(gzip.compress, "gzip"), (bz2.compress, "bzip2")])
def test_a_compressed_tar(pack, kind: str) -> None:  # noqa: ANN001
    with pytest.raises(JobError, match=f"compressed with {kind}") as caught:
        samples(pack(tar_of(IMAGES)))
    assert "plain tar" in caught.value.fix


@pytest.mark.parametrize("size", [b"77777777777\0", b"\xff" * 12, b"\xff" * 11 + b"\x00"])
def test_sizes_that_are_not_true(size: bytes) -> None:
    header = bytearray(tar_of({"1.jpg": b"x"})[:512])
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(JobError, match=r"dataset\.path=x\.tar: "):
        samples(bytes(header) + bytes(10_240))


def test_a_sparse_member() -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        header = tarfile.TarInfo("1.jpg")
        header.pax_headers = {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.map": "0,1",
            "GNU.sparse.size": "9",
        }
        header.size = 1
        tar.addfile(header, io.BytesIO(b"x"))
    with pytest.raises(JobError, match=r"1\.jpg is a sparse file"):
        samples(sink.getvalue())


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("1.cls", b"\xff", "not UTF-8"),
        ("1.json", b"{", "not JSON"),
        ("1.json", b"[1]", "not a JSON object"),
        ("1.cls", b"x" * (17 << 20), "more than 16,777,216"),
    ],
)
def test_texts_that_cannot_be_read(name: str, data: bytes, problem: str) -> None:
    tar = tar_of({name: data, "1.jpg": b""})
    with pytest.raises(JobError, match=rf"dataset\.path=x\.tar: {name}: .*{problem}"):
        samples(tar, ("cls",))
    assert len(samples(tar)) == 1
