from __future__ import annotations

import io
import struct

import pytest
from odd_images import bad_images, behind_soi, encode, exif, odd_images, picture, segment, tiff, with_frame
from PIL import Image

from actors.decoding.jpeg_header import MAX_SCANS, MAX_SEGMENTS, Header, check_markers, plain_start, read_header
from actors.errors import ImageError

PLAIN = encode(picture(), "JPEG")
JPEGS = {name: data for name, data in odd_images().items() if data.startswith(b"\xff\xd8")}
UNUSUAL = {"fill_bytes.jpg", "broken_exif.jpg", "no_exif_at_all.jpg"}
XMP = b"http://ns.adobe.com/xap/1.0/\0"


@pytest.mark.parametrize("name", sorted(JPEGS.keys() - UNUSUAL))
def test_the_orientation_is_the_one_that_pillow_finds(name: str) -> None:
    header = read_header(JPEGS[name])
    assert header
    assert header.orientation == (Image.open(io.BytesIO(JPEGS[name])).getexif().get(0x0112, 1) or 1)


@pytest.mark.parametrize("name", sorted(UNUSUAL))
def test_the_unusual_is_left_to_pillow(name: str) -> None:
    assert read_header(JPEGS[name]) is None


def test_only_images_of_several_scans_need_their_scans_counted() -> None:
    assert read_header(PLAIN) == Header(orientation=1, is_multi_scan=False)
    assert read_header(JPEGS["progressive.jpg"]) == Header(orientation=1, is_multi_scan=True)
    apart = PLAIN.replace(b"\xff\xda\x00\x0c\x03\x01\x00", b"\xff\xda\x00\x08\x01\x01\x00")
    assert read_header(apart) == Header(orientation=1, is_multi_scan=True)


def test_xmp_speaks_where_exif_does_not() -> None:
    xmp = segment(0xE1, XMP + b"<tiff:Orientation>8</tiff:Orientation>")
    no_tag = segment(0xE1, b"Exif\0\0" + tiff({0x0100: (3, 1, 1)}))
    assert read_header(behind_soi(PLAIN, no_tag + xmp)) == Header(8, is_multi_scan=False)
    assert read_header(behind_soi(PLAIN, segment(0xE1, exif(3)) + xmp)) == Header(3, is_multi_scan=False)
    assert read_header(behind_soi(PLAIN, segment(0xE1, exif(0)) + xmp)) == Header(1, is_multi_scan=False)


@pytest.mark.parametrize(
    "block",
    [
        b"II*\0" + struct.pack("<I", 0xFFFFFFF0),  # a directory outside the block
        b"II*\0" + struct.pack("<IH", 8, 0xFFFF),  # more entries than present
        b"MM\0*" + struct.pack(">I", 8),  # no directory
        tiff({0x0112: (4, 1, 6)}),  # another type
        tiff({0x0112: (3, 2, 6)}),  # two orientations
        b"PNG\r" + bytes(40),
        b"",
    ],
)
def test_a_directory_that_lies_is_left_to_pillow(block: bytes) -> None:
    assert read_header(behind_soi(PLAIN, segment(0xE1, b"Exif\0\0" + block))) is None


def test_a_header_cut_anywhere_is_not_a_header() -> None:
    first_scan = PLAIN.index(b"\xff\xda")
    assert {read_header(PLAIN[:length]) for length in range(first_scan + 4)} == {None}
    assert read_header(PLAIN[: first_scan + 5])


@pytest.mark.parametrize("inserted", [b"\xff\xe5\xff\xff", b"\xff\xe5\x00\x00", b"\xff\xd8", b"\x00", b"\xff\xd9"])
def test_a_header_that_is_laid_out_oddly_is_left_to_pillow(inserted: bytes) -> None:
    assert read_header(behind_soi(PLAIN, inserted)) is None


@pytest.mark.parametrize("name", JPEGS)
def test_markers_of_images_that_decode_pass(name: str) -> None:
    check_markers(JPEGS[name])


@pytest.mark.parametrize("name", ["200_scans.jpg", "200_scans_and_junk.jpg", "2000_segments.jpg", "header_only.jpg"])
def test_markers_that_would_hold_a_worker_are_refused(name: str) -> None:
    data, kind = bad_images()[name]
    with pytest.raises(ImageError) as caught:
        check_markers(data)
    assert caught.value.kind == kind


def test_the_limits_on_markers_are_met_exactly() -> None:
    scan = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\x12\xff\x00\xff\xd0\x34"
    check_markers(b"\xff\xd8" + scan * MAX_SCANS)
    with pytest.raises(ImageError, match=f"more than {MAX_SCANS} scans"):
        check_markers(b"\xff\xd8" + scan * (MAX_SCANS + 1))
    comments = segment(0xFE, b"\xff\xda") * (MAX_SEGMENTS - 1)
    check_markers(b"\xff\xd8" + comments + scan)
    with pytest.raises(ImageError, match=f"more than {MAX_SEGMENTS} segments"):
        check_markers(b"\xff\xd8" + comments + scan * 2)


def test_only_one_scan_of_8_bits_that_runs_to_the_end_is_plain() -> None:
    assert plain_start(PLAIN)
    assert plain_start(PLAIN + b"whatever follows \xff\xda") == plain_start(PLAIN)
    assert plain_start(JPEGS["restart_markers.jpg"])
    assert plain_start(JPEGS["comment.jpg"])
    assert plain_start(JPEGS["progressive.jpg"]) is None
    assert plain_start(with_frame(PLAIN, precision=12)) is None
    assert plain_start(PLAIN[:-2] + segment(0xFE, b"a comment") + PLAIN[-2:]) is None
    assert {plain_start(PLAIN[:length]) for length in range(len(PLAIN))} == {None}


def test_the_start_is_the_header_of_a_tiny_image() -> None:
    start = plain_start(PLAIN)
    assert start
    assert len(start) == PLAIN.index(b"\xff\xda") + 14 + 2
    assert with_frame(start, height=picture().height, width=picture().width)[:-2] == PLAIN[: len(start) - 2]
    assert Image.open(io.BytesIO(start)).size == (8, 8)
