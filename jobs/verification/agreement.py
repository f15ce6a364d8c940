"""Whether `run.json`, `manifest.json` and the inventory of a run say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from jobs.verification import spans
from jobs.verification.documents import read_manifest, read_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.verification.documents import Manifest, Record
    from jobs.verification.findings import Findings
    from jobs.verification.inventory import Inventory
    from jobs.verification.listing import Output

    Document = TypeVar("Document", Record, Manifest)


def read_documents(output: Output, run_id: str, findings: Findings) -> tuple[Record | None, Manifest | None]:
    """The record and the manifest of a run, None where one is missing or not of its format."""
    record = _read(output, f"runs/{run_id}/run.json", read_record, findings)
    manifest = _read(output, f"runs/{run_id}/manifest.json", read_manifest, findings)
    for name, document in (("run.json", record), ("manifest.json", manifest)):
        if document is not None and document.run_id != run_id:
            findings.add("wrong document", f"runs/{run_id}/{name}: it is of run {document.run_id}")
    return record, manifest


def check_agreement(
    record: Record | None, manifest: Manifest | None, inventory: Inventory | None, findings: Findings
) -> None:
    """What the documents say of the inventory, and whether they are of one run."""
    if inventory is not None:
        facts = {
            "num_listed": spans.count(inventory.spans),
            "num_shards": len(inventory.sizes),
            "inventory_digest": inventory.digest,
        }
        for name, document in (("run.json", record), ("manifest.json", manifest)):
            _compare(name, document, facts, "the inventory", findings)
    if record is not None:
        facts = {key: getattr(record, key) for key in ("mode", "fingerprint")}
        _compare("manifest.json", manifest, facts, "run.json", findings)


def _read(output: Output, name: str, parse: Callable[[bytes], Document], findings: Findings) -> Document | None:
    try:
        return parse(output.read(name))
    except FileNotFoundError:
        findings.add("missing document", name)
    except ValueError as error:
        findings.add("wrong document", f"{name}: {error}")
    return None


def _compare(
    name: str, document: Record | Manifest | None, facts: dict[str, object], source: str, findings: Findings
) -> None:
    for key, fact in facts.items():
        said = getattr(document, key, fact)
        if said != fact:
            findings.add("wrong document", f"{name}: {key} is {said}, and by {source} it is {fact}")
