"""Checks that the documents of a run, its config and its inventory agree."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

from actors.storage.store import TooLargeError
from jobs.verification import row_sets
from jobs.verification.documents import read_config, read_manifest, read_record, read_report
from jobs.verification.output_files import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.verification.documents import Config, Manifest, RecordDocument, Report
    from jobs.verification.findings import Findings
    from jobs.verification.inventory_check import Inventory
    from jobs.verification.output_files import Output

    Document = TypeVar("Document", RecordDocument, Manifest, Report, Config)


def read_documents(output: Output, run_id: str, findings: Findings) -> tuple[RecordDocument | None, Manifest | None]:
    """Reads ``run.json`` and ``manifest.json``; returns None for one that is missing or malformed."""
    record = _read(output, f"runs/{run_id}/run.json", read_record, findings)
    manifest = _read(output, f"runs/{run_id}/manifest.json", read_manifest, findings)
    for name, document in (("run.json", record), ("manifest.json", manifest)):
        if document is not None and document.run_id != run_id:
            findings.add("wrong document", f"runs/{run_id}/{name}: it belongs to run {document.run_id}")
    return record, manifest


def check_manifest_sha256(output: Output, run_id: str, wanted: str, findings: Findings) -> None:
    """Checks ``manifest.json`` against the SHA-256 ``wanted``, kept outside the output."""
    found = manifest_sha256(output, run_id)
    if found is not None and found != wanted.lower():
        name = f"runs/{run_id}/manifest.json"
        findings.add("other manifest", f"{name}: its SHA-256 is {found}, but verify.manifest_sha256 is {wanted}")


def manifest_sha256(output: Output, run_id: str) -> str | None:
    """Returns the SHA-256 of ``manifest.json`` in hexadecimal; None if it cannot be read."""
    try:
        return hashlib.sha256(output.read(f"runs/{run_id}/manifest.json")).hexdigest()
    except (FileNotFoundError, TooLargeError, LinkError):
        return None


def check_agreement(
    record: RecordDocument | None, manifest: Manifest | None, inventory: Inventory | None, findings: Findings
) -> None:
    """Checks the documents against the inventory, and that both describe the same job."""
    if inventory is not None:
        facts = {
            "num_listed": row_sets.count(inventory.spans),
            "num_shards": len(inventory.sizes),
            "inventory_digest": inventory.digest,
        }
        for name, document in (("run.json", record), ("manifest.json", manifest)):
            _compare(name, document, facts, "the inventory", findings)
    if record is not None:
        facts = {key: getattr(record, key) for key in _OF_THE_JOB}
        _compare("manifest.json", manifest, facts, "run.json", findings)


def check_config(output: Output, run_id: str, record: RecordDocument | None, findings: Findings) -> Config | None:
    """Reads ``config.yaml`` and checks that the run was opened with it; returns None if it cannot be read."""
    name = f"runs/{run_id}/config.yaml"
    config = _read(output, name, read_config, findings)
    if config is not None and record is not None and config.digest != record.config_digest:
        findings.add(
            "wrong document", f"{name}: its digest is {config.digest}, but run.json says {record.config_digest}"
        )
    return config


def check_report(output: Output, run_id: str, manifest: Manifest | None, findings: Findings) -> None:
    """Checks ``report.json`` against the manifest."""
    report = _read(output, f"runs/{run_id}/report.json", read_report, findings)
    if manifest is not None:
        names, totals = ({key: getattr(manifest, key) for key in keys} for keys in (_NAMES, _TOTALS))
        _compare("report.json", report, names, "manifest.json", findings)
        _compare("report.json", report, totals, "manifest.json", findings, kind="wrong total")


_OF_THE_JOB = ("mode", "fingerprint", "dataset_digest", "columns_digest")
_NAMES = ("run_id", "fingerprint")
_TOTALS = ("num_listed", "num_ok", "num_errors")


def _read(output: Output, name: str, parse: Callable[[bytes], Document], findings: Findings) -> Document | None:
    try:
        return parse(output.read(name))
    except FileNotFoundError:
        findings.add("missing document", name)
    except (ValueError, TooLargeError, TypeError, OverflowError) as error:
        findings.add("wrong document", f"{name}: {error}")
    return None


def _compare(
    name: str,
    document: RecordDocument | Manifest | Report | None,
    facts: dict[str, object],
    source: str,
    findings: Findings,
    kind: str = "wrong document",
) -> None:
    for key, fact in facts.items():
        recorded = getattr(document, key, fact)
        if recorded != fact:
            findings.add(kind, f"{name}: {key} is {recorded}, but {source} says {fact}")
