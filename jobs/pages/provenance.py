"""The section on origin: what ran, on which data, by whom, with which versions, and how to repeat and to prove it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.messages import redacted
from actors.models.names import model_name
from jobs.pages.wording import listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.pages.facts import RunFacts


@dataclass(frozen=True)
class Provenance:
    """Content of the section."""

    model: str
    dataset: str
    origin: Sequence[tuple[str, str]]
    digests: Sequence[tuple[str, str]]
    versions: Sequence[tuple[str, str]]
    command: str
    """Command line of the job, without secrets; empty if it is not known."""
    verify: str


def provenance(facts: RunFacts) -> Provenance:
    report, record = facts.report, facts.record
    rows = {
        "Run": facts.paths.run_id,
        "Model": _model(facts.config),
        "Dataset": dataset_name(facts.config),
        "Task": facts.task,
        "Output": redacted(facts.paths.root),
        "Started": record.get("opened_at", ""),
        "Ended": report.get("ended_at", ""),
        "Started by": report.get("started_by", ""),
        "Engine": " ".join(_engine(report)),
        "Rows": f"{redacted(facts.paths.rows)} ({_parts(facts.num_parts)}, errors included)",
    }
    digests = {
        "Model fingerprint": facts.paths.fingerprint,
        "Inventory, SHA-256": record.get("inventory_digest", ""),
        "Manifest, SHA-256": facts.manifest_sha256,
        "Config, SHA-256": record.get("config_digest", ""),
    }
    versions = {name.removeprefix("version_"): text for name, text in record.items() if name.startswith("version_")}
    prove = f"python -m jobs.verify output.path={redacted(facts.paths.root)} run.id={facts.paths.run_id}"
    return Provenance(
        model=_model(facts.config),
        dataset=dataset_name(facts.config),
        origin=_given(rows),
        digests=_given(digests),
        versions=_given(versions),
        command=str(report.get("command") or ""),
        verify=f"{prove} verify.manifest_sha256={facts.manifest_sha256}",
    )


def _model(config: Mapping[str, Any]) -> str:
    model = config["model"]
    return model_name(model.get("source"), model.get("architecture"), model.get("checkpoint"))


def dataset_name(config: Mapping[str, Any]) -> str:
    """Kind and place of the dataset."""
    dataset = config["dataset"]
    paths = dataset.get("path")
    named = listing([redacted(str(path)) for path in paths]) if isinstance(paths, list) else redacted(str(paths))
    return f"{dataset.get('kind')} {named}"


def _engine(report: Mapping[str, Any]) -> list[str]:
    engine = (report.get("execution") or {}).get("engine", {})
    return [str(engine[name]) for name in ("engine", "precision", "device") if name in engine]


def _parts(number: int) -> str:
    return f"{number:,} part{'' if number == 1 else 's'}"


def _given(rows: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, str(text)) for name, text in rows.items() if text]
