"""Recognises files with keys or passwords by name and content. Runs on the client."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_key(file: Path) -> bool:
    """Returns True if a file holds secrets and must not be uploaded. Python modules always return False."""
    # A module may well contain the header of a key as text, as this one does.
    if file.suffix == ".py":
        return False
    if _KEY_NAMES.fullmatch(file.name):
        return True
    if not os.access(file, os.R_OK):
        return False  # packing reports it as unreadable
    with file.open("rb") as content:
        return bool(_KEY_CONTENT.search(content.read(_HEAD_BYTES)))


_KEY_NAMES = re.compile(
    r"id_(rsa|dsa|ecdsa|ed25519)|credentials(\.\w+)?|kubeconfig|.+\.(env|pem|key|p12|pfx|jks|keystore|kdbx|ppk)",
    re.IGNORECASE,
)
_KEY_CONTENT = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|aws_secret_access_key\s*=", re.IGNORECASE)
_HEAD_BYTES = 1 << 16  # keys are a few KiB and start with their header; weights of gigabytes need not be read
