"""Suffixes of images, and the kinds that can be read here. Used on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

FIRST_EXTENSIONS = ["jpg", "jpeg", "jpe", "png", "webp", "bmp", "gif", "tif", "tiff", "jp2", "avif", "ppm", "pgm"]
"""`EXTENSIONS` of the first outputs, whose digests contain them."""

_SINCE = ["jfif", "jif", "apng", "dib", "j2k", "j2c", "jpc", "jpx", "jpf", "pbm", "pnm", "ico"]
EXTENSIONS = [*FIRST_EXTENSIONS, *_SINCE]
"""Suffixes that the decoder reads; if a tar sample has several, the first one is used."""


@dataclass(frozen=True)
class _Plugin:
    """Formats that Pillow reads once ``module`` is installed."""

    module: str
    extensions: tuple[str, ...]

    @property
    def is_installed(self) -> bool:
        # Not imported: the driver lists files but decodes none.
        return find_spec(self.module) is not None


_PLUGINS = (_Plugin("pillow_heif", ("heic", "heif", "hif")), _Plugin("pillow_jxl", ("jxl",)))
# Formats that no decoder here reads.
_FOREIGN = ("tga", "dds", "qoi", "pcx", "sgi", "psd", "xcf", "svg", "eps", "exr", "hdr")
# Camera raw files: a decoder may find only the small preview.
_RAW = ("dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf", "pef")


def extra_extensions() -> list[str]:
    """Suffixes of the installed plug-ins."""
    return [extension for plugin in _PLUGINS if plugin.is_installed for extension in plugin.extensions]


def unsupported_suffixes() -> list[str]:
    """Suffixes of images that cannot be read here, with the dot."""
    missing = [extension for plugin in _PLUGINS if not plugin.is_installed for extension in plugin.extensions]
    return [f".{extension}" for extension in (*missing, *_FOREIGN, *_RAW)]
