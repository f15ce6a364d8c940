"""Files from model hubs, in the caches of the libraries that fetch them: ``hf://REPO@REVISION/FILE`` of Hugging Face,
and ``torchhub+URL`` of torch.hub. Each node fetches a file once; runs on the driver and in workers.
"""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from actors.errors import JobError, UnreachableError
from actors.messages import one_line

if TYPE_CHECKING:
    from types import ModuleType

HUGGING_FACE, TORCH_HUB = "hf://", "torchhub+"


def is_hub(uri: str) -> bool:
    """Returns True for the URI of a file in a hub."""
    return uri.startswith((HUGGING_FACE, TORCH_HUB))


def on_this_machine(uri: str) -> str:
    """Returns the path of a hub file in its library's cache, fetching it if needed; returns all other URIs unchanged.

    Raises:
        JobError: the hub has no such file, refuses access, or is not contacted because of HF_HUB_OFFLINE.
        UnreachableError: the hub does not answer, and the file is not in the cache.
    """
    if uri.startswith(HUGGING_FACE):
        return _from_hugging_face(uri)
    return _from_torch_hub(uri) if uri.startswith(TORCH_HUB) else uri


def if_there(uri: str) -> str | None:
    """Does the same as `on_this_machine` for a Hugging Face file; returns None if the repository has no such file."""
    repo, revision, file = _parts(uri)
    if _library().try_to_load_from_cache(repo, file, revision=revision) is _library()._CACHED_NO_EXIST:  # noqa: SLF001  documented
        return None
    try:
        return _downloaded(uri)
    except _errors().RemoteEntryNotFoundError:
        return None
    except _errors().LocalEntryNotFoundError as error:
        if _library().is_offline_mode():  # only the cache can have it
            return None
        raise _unreachable(uri, error) from error


def pinned(uri: str) -> str:
    """Returns the URI with the commit that its revision currently names; other kinds of URIs unchanged. Raises like
    `on_this_machine`.
    """
    if not uri.startswith(HUGGING_FACE) or _COMMIT.fullmatch(_parts(uri)[1] or ""):
        return uri
    repo, _, file = _parts(uri)
    found = _SNAPSHOT.search(Path(on_this_machine(uri)).as_posix())
    return f"{HUGGING_FACE}{repo}@{found[1]}/{file}" if found else uri


_URI = re.compile(r"hf://(?P<repo>[^@/]+(?:/[^@/]+)?)(?:@(?P<revision>[^/]+))?/(?P<file>.+)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SNAPSHOT = re.compile(r"/snapshots/([0-9a-f]{40})/")
# The beginning of the file's SHA-256, as torch.hub reads it, but at least 8 digits.
_HASH = re.compile(r"-([a-f0-9]{8,})\.[a-z]+$")


def _parts(uri: str) -> tuple[str, str | None, str]:
    """Returns repository, revision and file."""
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise JobError(f"{uri}: names no file of a repository", fix="write hf://OWNER/NAME@REVISION/FILE")
    return parts["repo"], unquote(parts["revision"]) if parts["revision"] else None, parts["file"]


def _from_hugging_face(uri: str) -> str:
    try:
        return _downloaded(uri)
    except _errors().LocalEntryNotFoundError as error:
        raise _unreachable(uri, error) from error
    except _errors().RemoteEntryNotFoundError:
        raise JobError(f"{uri}: the repository has no such file", fix="correct the name, or the revision") from None


def _downloaded(uri: str) -> str:
    """Returns the path of the file. Passes on the Hugging Face library's own errors about missing files."""
    repo, revision, file = _parts(uri)
    library, errors = _library(), _errors()
    try:
        # Holds a lock while downloading, so the processes of a node fetch a file only once.
        return str(library.hf_hub_download(repo, file, revision=revision))
    except errors.EntryNotFoundError:
        raise
    except errors.GatedRepoError:
        fix = "accept its terms on the hub, and give your token as HF_TOKEN"
        raise JobError(f"{uri}: access to the repository is restricted", fix=fix) from None
    except errors.RepositoryNotFoundError:
        fix = "correct the name; for a private one, give your token as HF_TOKEN"
        raise JobError(f"{uri}: there is no repository {repo}", fix=fix) from None
    except errors.RevisionNotFoundError:
        fix = "give a commit, a branch or a tag of it"
        raise JobError(f"{uri}: {repo} has no revision {revision}", fix=fix) from None
    except errors.HFValidationError as error:
        raise JobError(f"{uri}: {one_line(error)}", fix="write hf://OWNER/NAME@REVISION/FILE") from None
    except errors.HfHubHTTPError as error:
        if error.response.status_code in _REFUSED:
            raise JobError(
                f"{uri}: the hub refuses access: {one_line(error)}",
                fix="correct HF_TOKEN, or run hf auth login; without a token (unset HF_TOKEN, hf auth logout) public "
                "models can be read",
            ) from None
        raise _unreachable(uri, error) from error
    except Exception as error:
        raise _unreachable(uri, error) from error


_REFUSED = (401, 403)


def _unreachable(uri: str, error: Exception) -> Exception:
    if _library().is_offline_mode():
        return JobError(
            f"{uri}: not in the cache of this node, and HF_HUB_OFFLINE forbids to fetch it",
            fix="fetch it once without HF_HUB_OFFLINE, or set HF_HOME to the cache that has it",
        )
    fix = "start the job again once the hub is reachable from here, or fetch the file first and set HF_HUB_OFFLINE=1"
    return UnreachableError(f"{uri}: unexpected response from the hub: {one_line(error)}\n  fix: {fix}")


def _library() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ModuleNotFoundError:
        raise JobError(
            f"{HUGGING_FACE}: no module named huggingface_hub", fix="pip install 'shardlens[transformers]'"
        ) from None


def _errors() -> Any:
    _library()
    return importlib.import_module("huggingface_hub.errors")


def _from_torch_hub(uri: str) -> str:
    url = uri.removeprefix(TORCH_HUB)
    # Like torch.hub.get_dir, whose import takes seconds.
    cache = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")  # noqa: PTH118
    path = Path(cache).expanduser() / "hub" / "checkpoints" / url.partition("?")[0].rpartition("/")[2]
    if path.exists():
        return str(path)
    import fcntl  # noqa: PLC0415  missing on Windows, where existing files must still be readable

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _download(url, path, importlib.import_module("torch.hub"))
    return str(path)


def _download(url: str, path: Path, hub: ModuleType) -> None:
    digest = _HASH.search(path.name)
    try:
        # Writes to a temporary file first, and renames it once it is complete and the digest matches.
        hub.download_url_to_file(url, str(path), digest[1] if digest else None, progress=False)
    except RuntimeError as error:
        raise JobError(f"{url}: not the file of that name: {one_line(error)}", fix="fetch it again") from error
    except OSError as error:
        fix = f"start the job again once it is, or put the file into {path.parent}"
        raise UnreachableError(f"{url}: cannot be fetched: {one_line(error)}\n  fix: {fix}") from error
