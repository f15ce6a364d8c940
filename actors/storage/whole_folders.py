"""Local folders that appear atomically: built next to their destination, then renamed. Used to write bundles and
conversions.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from actors.storage.uris import is_remote, local_path

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def staged_folder(uri: str, purpose: str) -> Iterator[Path]:
    """Yields an empty folder for the content of ``uri``, removed on exit.

    For a local ``uri``, it is next to it, so that `replace_folder` can rename it; otherwise, it is in the temporary
    folder, with ``purpose`` in its name. Raises OSError if it cannot be created.
    """
    if is_remote(uri):
        folder = Path(tempfile.mkdtemp(prefix=f"shardlens-{purpose}-"))
    else:
        target = path_of(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def replace_folder(folder: Path, target: Path) -> None:
    """Renames ``folder``, from `staged_folder`, to ``target``; removes an earlier folder there.

    Raises:
        OSError: nothing has changed.
    """
    folder.chmod(0o755)  # mkdtemp's folders are private
    earlier = folder.with_name(f"{folder.name}.old")
    if target.exists():
        target.rename(earlier)  # a rename replaces only an empty folder
    try:
        folder.rename(target)
    except OSError:
        if earlier.exists():
            earlier.rename(target)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def path_of(uri: str) -> Path:
    """Returns the path of a local URI."""
    return Path(os.fsdecode(local_path(uri)))
