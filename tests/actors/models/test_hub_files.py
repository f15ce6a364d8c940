from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import huggingface_hub.constants
import pytest
from web import serve_folder

from actors.errors import JobError, UnreachableError
from actors.models.hub_files import TORCH_HUB, if_there, is_hub, on_this_machine, pinned

if TYPE_CHECKING:
    from hub import Hub


def test_other_uris_stay_as_they_are() -> None:
    for uri in ("weights.pt", "s3://bucket/weights.pt", "https://host/weights.pt"):
        assert not is_hub(uri)
        assert on_this_machine(uri) == pinned(uri) == uri


def test_a_file_is_fetched_once_and_then_taken_from_the_cache(hub: Hub) -> None:
    hub.put("me/net", {"model.safetensors": b"weights"})
    path = on_this_machine("hf://me/net/model.safetensors")
    assert Path(path).read_bytes() == b"weights"
    assert on_this_machine("hf://me/net/model.safetensors") == path
    assert hub.fetched == ["/me/net/resolve/main/model.safetensors"]


def test_a_pinned_file_stays_when_the_branch_moves(hub: Hub) -> None:
    commit = hub.put("me/net", {"model.safetensors": b"old"})
    uri = pinned("hf://me/net/model.safetensors")
    assert uri == f"hf://me/net@{commit}/model.safetensors"
    newer = hub.put("me/net", {"model.safetensors": b"new"})
    assert Path(on_this_machine(uri)).read_bytes() == b"old"
    assert pinned(uri) == uri
    assert pinned("hf://me/net/model.safetensors") == f"hf://me/net@{newer}/model.safetensors"


def test_a_branch_with_a_slash_is_a_revision(hub: Hub) -> None:
    commit = hub.put("me/net", {"config.json": b"{}"}, "refs%2Fpr%2F1")
    assert pinned("hf://me/net@refs%2Fpr%2F1/config.json") == f"hf://me/net@{commit}/config.json"


def test_the_cache_is_enough_when_the_hub_may_not_be_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.put("me/net", {"config.json": b"{}"})
    on_this_machine("hf://me/net/config.json")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert pinned("hf://me/net/config.json") == f"hf://me/net@{commit}/config.json"
    assert if_there("hf://me/net/model.safetensors") is None
    with pytest.raises(JobError, match=r"hf://me/net/other: not in the cache of this node, and HF_HUB_OFFLINE"):
        on_this_machine("hf://me/net/other")


def test_a_file_that_is_not_there_is_none_and_not_asked_for_again(hub: Hub) -> None:
    commit = hub.put("me/net", {"config.json": b"{}"})
    assert if_there(f"hf://me/net@{commit}/other") is None
    assert if_there(f"hf://me/net@{commit}/config.json") is not None


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("hf://me/net/other", "the repository has no such file"),
        ("hf://me/other/config.json", "there is no repository me/other"),
        ("hf://me/net@v2/config.json", "me/net has no revision v2"),
        ("hf://me", "names no file of a repository"),
        ("hf://me/n*t/config.json", "write hf://OWNER/NAME@REVISION/FILE"),
    ],
)
def test_a_wrong_name_is_reported(hub: Hub, uri: str, message: str) -> None:
    hub.put("me/net", {"config.json": b"{}"})
    with pytest.raises(JobError, match=message):
        on_this_machine(uri)


def test_a_refused_token_is_no_matter_of_waiting(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_another")
    hub.put("me/net", {"config.json": b"{}"})
    hub.tokens = {"hf_mine"}
    with pytest.raises(JobError, match=r"the hub refuses access: .*\n  fix: correct HF_TOKEN") as caught:
        on_this_machine("hf://me/net/config.json")
    assert "hf_of_another" not in str(caught.value)


def test_a_hub_that_does_not_answer_may_do_so_later(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(UnreachableError, match="HF_HUB_OFFLINE=1"):
        on_this_machine("hf://me/net/config.json")
    assert hub.fetched == []


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Returns a file named after the first digits of its digest, like torchvision's weights."""
    digest = hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "web").mkdir()
    path = tmp_path / "web" / f"net-{digest[:8]}.pth"
    path.write_bytes(b"weights")
    return path


def test_several_processes_fetch_a_file_of_torch_hub_once(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    code = "import sys; from actors.models.hub_files import on_this_machine; print(on_this_machine(sys.argv[1]))"
    with serve_folder(weights.parent) as (address, requests):
        uri = f"{TORCH_HUB}{address}/{weights.name}"
        command = [sys.executable, "-c", code, uri]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        paths = {process.communicate()[0].strip() for process in processes}
    assert paths == {str(tmp_path / "torch" / "hub" / "checkpoints" / weights.name)}
    assert Path(paths.pop()).read_bytes() == b"weights"
    assert len(requests) == 1


def test_a_file_that_torch_hub_has_needs_no_server_and_no_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "net.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"weights")
    code = f"""
import sys
from actors.models.hub_files import on_this_machine
print(on_this_machine("{TORCH_HUB}http://127.0.0.1:9/net.pth"), "torch" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.split() == [str(cached), "False"]


def test_a_damaged_download_is_refused_and_not_kept(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    weights.write_bytes(b"other weights")
    with serve_folder(weights.parent) as (address, _), pytest.raises(JobError, match="not the file of that name"):
        on_this_machine(f"{TORCH_HUB}{address}/{weights.name}")
    assert not list((tmp_path / "torch").rglob("*.pth"))
    with pytest.raises(UnreachableError, match="cannot be fetched"):
        on_this_machine(f"{TORCH_HUB}http://127.0.0.1:9/{weights.name}")


def test_several_processes_fetch_a_file_of_the_hub_once(hub: Hub, tmp_path: Path) -> None:
    commit = hub.put("me/net", {"model.safetensors": b"weights" * 100_000})
    code = "import sys; from actors.models.hub_files import on_this_machine; print(on_this_machine(sys.argv[1]))"
    command = [sys.executable, "-c", code, f"hf://me/net@{commit}/model.safetensors"]
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf")}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    paths = {process.communicate()[0].strip() for process in processes}
    assert Path(paths.pop()).read_bytes() == b"weights" * 100_000
    assert not paths
    assert len(hub.fetched) == 1
