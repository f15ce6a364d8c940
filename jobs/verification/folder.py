"""Checks the folder of a published run for unexpected files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.verification.findings import Findings
    from jobs.verification.output_files import Output


def check_folder(output: Output, run_id: str, findings: Findings) -> None:
    """Reports unknown files and a non-empty ``_SUCCESS``. `check_inventory` covers ``inventory/``."""
    folder = f"runs/{run_id}/"
    files = output.runs[run_id]
    strangers = sorted(name for name in files if not _OWN.fullmatch(name.removeprefix(folder)))
    findings.add_many("stranger file", strangers, len(strangers))
    if files.get(f"{folder}_SUCCESS"):
        findings.add("wrong document", f"{folder}_SUCCESS: it is not empty")


_OWN = re.compile(
    r"(?:run|manifest|report|metrics)\.json|report\.html|config\.yaml|_SUCCESS|inventory/.*"
    r"|(?:slices|decode_switches)/\d+-of-\d+\.json|comparisons/[^/]+/comparison\.(?:json|html)",
    # A name may contain a newline.
    re.DOTALL,
)
