"""The result of a job that Python code ran: its rows and errors, which are read on demand, its report and its page."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from actors.messages import redacted
from actors.outputs import Output
from actors.storage.json_documents import read_object
from actors.storage.uris import is_remote

if TYPE_CHECKING:
    from actors.outputs import View
    from actors.storage.store import Storage
    from actors.writing.run_paths import RunPaths


@dataclass(frozen=True, repr=False)
class RunResult:
    """A run that a call has completed, resumed, or found published."""

    status: str
    """``done``; ``over_budget``, with more errors than the job allows; or ``stopped``, which the same call resumes."""
    run_id: str
    path: str
    """Folder of the run."""
    report: dict[str, Any]
    """Content of ``report.json``."""
    page: str | None
    """Path of ``report.html``; None if there is none."""
    output: Output
    """All runs of the output, such as ``result.output.newest()``."""

    @classmethod
    def of(cls, paths: RunPaths, storage: Storage, *, status: str, report: str) -> Self:
        """Reads the result of the run at ``paths``. Raises `JobError` if storage does not give it.

        Args:
            paths: of the run.
            storage: holds it.
            status: of the command.
            report: URI of its report.
        """
        output = Output(paths.root, storage)
        with output.reading():
            content = read_object(report, storage)
            page = paths.page if storage.kind(paths.page) else None
        return cls(status, paths.run_id, paths.run, content, page, output)

    @property
    def rows(self) -> View:
        """The rows of the run. Raises `JobError` if the run is not published."""
        return self.output.rows(run=self.run_id)

    @property
    def errors(self) -> View:
        """The error rows of the run. Raises `JobError` if the run is not published."""
        return self.output.errors(run=self.run_id)

    def __repr__(self) -> str:
        return f"RunResult({self.run_id}: {self.status}, {self._images}, {redacted(self.path)})"

    def _repr_html_(self) -> str:
        rate = self.report["images_per_s"]
        cells = {
            "run": self.run_id,
            "status": self.status.replace("_", " "),
            "images": self._images,
            "speed": f"{rate:,.1f} images/s" if rate else "",
            **{f"errors {kind}": f"{number:,}" for kind, number in self.report["error_kinds"].items()},
        }
        lines = [f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in cells.items() if text]
        if self.page is not None:
            lines.append(f'<tr><th>report</th><td><a href="{escape(_link(self.page))}">report.html</a></td></tr>')
        return f"<table>{''.join(lines)}</table>"

    @property
    def _images(self) -> str:
        listed, ok, errors = (self.report[name] for name in ("num_listed", "num_ok", "num_errors"))
        missing = listed - ok - errors
        rest = f" + {missing:,} still to do" if missing else ""
        return f"{listed:,} listed = {ok:,} ok + {errors:,} errors{rest}"


def _link(page: str) -> str:
    """Address of ``page``, relative to the working folder where it is below it, which a notebook can open."""
    if is_remote(page):
        return redacted(page)
    path = Path(page)
    return quote(path.relative_to(Path.cwd()).as_posix()) if path.is_relative_to(Path.cwd()) else path.as_uri()
