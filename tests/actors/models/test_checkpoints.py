from __future__ import annotations

import argparse
import json
import os
import random
import re
import struct
import zipfile
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
from networks import tiny

from actors.errors import JobError, UnreachableError
from actors.messages import redacted
from actors.models.checkpoints import digest, load_strictly
from actors.models.network import build_network
from actors.models.spec import Model
from actors.models.state_dicts import rename, unwrap
from actors.models.weight_files import read_weights
from actors.storage.store import Storage

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from places import Place

    from actors.models.state_dicts import StateDict


def weights() -> StateDict:
    torch.manual_seed(0)
    return tiny().state_dict()


def saved(content: object, **options: Any) -> bytes:
    file = BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def read_state_dict(
    uri: str, *, storage: Storage, ema: bool = False, expected: Collection[str] | None = None
) -> StateDict:
    """Runs the steps of `actors.models.checkpoints.load` that precede loading into a network."""
    state_dict = unwrap(read_weights(uri, storage), ema=ema, where=redacted(f"model.checkpoint={uri}"))
    return state_dict if expected is None else rename(state_dict, expected)


def read(path: Path, data: bytes, **options: Any) -> StateDict:
    path.write_bytes(data)
    return read_state_dict(str(path), storage=Storage(), **options)


def assert_equal(found: StateDict, wanted: StateDict) -> None:
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


FORMATS = {
    "zip.pt": saved,
    "before_1.6.pth": lambda content: saved(content, _use_new_zipfile_serialization=False),
    "protocol_3.bin": lambda content: saved(content, pickle_protocol=3),
    "plain.safetensors": safetensors.torch.save,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_tensors(place: Place, name: str) -> None:
    uri = place.put(name, FORMATS[name](weights()))
    assert_equal(read_state_dict(uri, storage=Storage(place.options)), weights())


def test_prefixes_are_undone_towards_the_names_expected(tmp_path: Path) -> None:
    data = saved({"model": {f"module.{name}": tensor for name, tensor in weights().items()}})
    assert_equal(read(tmp_path / "a.pt", data, expected=weights().keys()), weights())
    assert read(tmp_path / "a.pt", data).keys() == {f"module.{name}" for name in weights()}


def test_averaged_weights_are_taken_when_asked_for(tmp_path: Path) -> None:
    averaged = {name: tensor * 2 for name, tensor in weights().items()}
    data = saved({"state_dict": weights(), "state_dict_ema": averaged})
    assert_equal(read(tmp_path / "a.pt", data), weights())
    assert_equal(read(tmp_path / "a.pt", data, ema=True), averaged)


def test_weights_saved_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        data = saved(weights())
    finally:
        torch.serialization.set_crc32_options(True)
    assert_equal(read(tmp_path / "a.pt", data), weights())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ({"state_dict": {}, "args": argparse.Namespace(lr=1)}, "argparse.Namespace"),
        ({"model": weights(), "args": argparse.Namespace(), "out": PurePosixPath("a")}, "argparse.Namespace"),
        (tiny(), "networks.Tiny"),
    ],
)
def test_what_could_run_code_is_never_unpickled(tmp_path: Path, content: object, seen: str, *, legacy: bool) -> None:
    data = saved(content, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        JobError, match=rf"a\.pt: holds more than tensors \(.*{seen}.*\).*\n.*torch\.save\(model\.state_dict"
    ):
        read(tmp_path / "a.pt", data)


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def test_a_hostile_pickle_does_nothing(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"holds more than tensors \(posix\.mkdir\)"):
        read(tmp_path / "a.pt", saved({"state_dict": weights(), "x": Payload(tmp_path / "made")}))
    assert not (tmp_path / "made").exists()


def archive(*names: str, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", compression) as entries:
        for name in names:
            entries.writestr(name, b"\0" * 100_000)
    return file.getvalue()


def broken_files() -> dict[str, tuple[str, bytes, str]]:
    """Returns for each case the file name, its content, and the expected message."""
    zipped, legacy = saved(weights()), saved(weights(), _use_new_zipfile_serialization=False)
    flat = safetensors.torch.save(weights())
    flipped = bytearray(zipped)
    flipped[zipped.index(weights()["conv2.weight"].numpy().tobytes()) + 100] ^= 4
    lie = json.dumps({"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4 * 10**18]}}).encode()
    overlap = json.dumps({n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}).encode()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 46830571\n"
    return {
        "empty": ("a.pt", b"", "is empty"),
        "empty safetensors": ("a.safetensors", b"", "is empty"),
        "text": ("a.pt", b"<!DOCTYPE html><html>Not Found</html>", "is damaged"),
        "Git LFS": ("a.pt", pointer, "is a Git LFS pointer"),
        "Git LFS safetensors": ("a.safetensors", pointer, "is a Git LFS pointer"),
        "pickle protocol 4": ("a.pt", saved(weights(), pickle_protocol=4), "protocol that cannot be read safely"),
        "half a zip": ("a.pt", zipped[: len(zipped) // 2], "is damaged"),
        "half a legacy": ("a.pt", legacy[: len(legacy) // 2], "is damaged"),
        "half a safetensors": ("a.safetensors", flat[: len(flat) // 2], "is damaged"),
        "one flipped bit of a weight": ("a.pt", bytes(flipped), "Bad CRC-32"),
        "a header of 2**60 bytes": ("a.safetensors", struct.pack("<Q", 2**60) + b"{}", "is damaged"),
        "a tensor of 4 exabytes": ("a.safetensors", struct.pack("<Q", len(lie)) + lie, "is damaged"),
        "tensors that overlap": (
            "a.safetensors",
            struct.pack("<Q", len(overlap)) + overlap + b"\0" * 8,
            "is damaged",
        ),
        "safetensors under another name": ("a.pt", flat, "is damaged or in another format"),
        "a zip under another name": ("a.safetensors", zipped, "is damaged or in another format"),
        "some other zip": ("a.pt", archive("readme.txt"), "is damaged or in another format"),
        "a compressed zip": ("a.pt", archive("a/data.pkl", compression=zipfile.ZIP_DEFLATED), "is compressed"),
        "TorchScript": ("a.pt", archive("a/data.pkl", "a/constants.pkl"), "is a TorchScript archive, which holds code"),
        "an exported program": ("a.pt", archive("a/archive_format", "a/models/model.json"), "is an exported program"),
    }


@pytest.mark.parametrize("case", broken_files())
def test_a_broken_file_is_reported_by_name(place: Place, case: str) -> None:
    name, data, seen = broken_files()[case]
    uri = place.put(name, data)
    with pytest.raises(JobError, match=re.escape(f"model.checkpoint={uri}: ") + f".*{seen}") as raised:
        read_state_dict(uri, storage=Storage(place.options))
    assert raised.value.problem.count("\n") == 0


@pytest.mark.parametrize("name", FORMATS)
def test_any_damage_is_an_error_of_the_job_or_none(tmp_path: Path, name: str) -> None:
    whole, chance = FORMATS[name](weights()), random.Random(0)  # noqa: S311  no secret
    for _ in range(150):
        data = bytearray(whole)
        start = chance.randrange(len(data))
        if chance.random() < 0.3:
            del data[start:]
        else:
            data[start : start + 4] = chance.randbytes(chance.randrange(8))
        try:
            read(tmp_path / name.replace("_1.6", ""), bytes(data))
        except JobError as error:
            assert name.partition(".")[0].partition("_")[0] in error.problem  # noqa: PT017  either outcome is right


def test_an_irregular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.pt").mkdir()
    for name, seen in (
        ("pipe.pt", "not a regular file"),
        ("folder.pt", "not a regular file"),
        ("no.pt", "no such file"),
    ):
        with pytest.raises(JobError, match=rf"model\.checkpoint=.*{name}: .*{seen}"):
            read_state_dict(str(tmp_path / name), storage=Storage())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_it_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(saved(weights()))
    (tmp_path / "a.pt").chmod(0)
    with pytest.raises(JobError, match="may not be read"):
        read_state_dict(str(tmp_path / "a.pt"), storage=Storage())


def test_all_that_does_not_fit_is_reported_at_once() -> None:
    given = {**weights(), **{f"extra{number}": torch.ones(1) for number in range(8)}}
    del given["conv1.weight"], given["conv1.bias"]
    given["fc.weight"] = torch.ones(84, 16)
    given["fc.bias"] = torch.ones(10, dtype=torch.int8)
    with pytest.raises(JobError) as raised:
        load_strictly(tiny(), given, where="model.checkpoint=x.pt")
    assert raised.value.problem == (
        "model.checkpoint=x.pt: does not fit the network. missing: conv1.weight, conv1.bias; "
        "unexpected: extra0, extra1, extra2, extra3, extra4 and 3 more; "
        "wrong shape: fc.weight is (84, 16) in the checkpoint, (10, 16) in the network, "
        "fc.bias is torch.int8 in the checkpoint, torch.float32 in the network"
    )
    assert "num_classes" in raised.value.fix


def test_entries_in_half_precision_are_converted() -> None:
    network = tiny()
    load_strictly(network, {name: tensor.half() for name, tensor in weights().items()}, where="x")
    assert network.fc.weight.dtype == torch.float32
    assert torch.equal(network.fc.weight, weights()["fc.weight"].half().float())


def test_names_that_modules_map_themselves_are_theirs_to_map() -> None:
    """Loads old weight normalisation into new, and batch normalisation without its count of batches."""
    network = torch.nn.Sequential(
        torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2)), torch.nn.BatchNorm1d(2)
    )
    old = {"0.weight_g": torch.ones(2, 1), "0.weight_v": torch.eye(2), "0.bias": torch.ones(2)}
    old |= {f"1.{name}": torch.ones(2) for name in ("weight", "bias", "running_mean", "running_var")}
    load_strictly(network, old, where="x")
    assert torch.equal(network[0].weight, torch.eye(2))


def test_tensors_without_numbers_do_not_load() -> None:
    with pytest.raises(JobError, match=r"x: does not load: .*meta tensor"):
        load_strictly(tiny(), {name: tensor.to("meta") for name, tensor in weights().items()}, where="x")


def with_buffers(**tensors: torch.Tensor) -> torch.nn.Module:
    network = torch.nn.Module()
    for name, tensor in tensors.items():
        network.register_buffer(name, tensor)
    return network


def test_the_digest_sees_names_types_shapes_and_numbers() -> None:
    tensor = torch.arange(6, dtype=torch.float32)
    variants = [
        with_buffers(a=tensor),
        with_buffers(b=tensor),
        with_buffers(a=tensor.view(torch.int32)),
        with_buffers(a=tensor.reshape(2, 3)),
        with_buffers(a=tensor.flip(0)),
        with_buffers(a=tensor.bfloat16()),
        with_buffers(a=torch.tensor(True)),
        with_buffers(a=torch.empty(0)),
    ]
    assert len({digest(variant) for variant in variants}) == len(variants)
    strided = torch.stack([tensor, tensor], dim=1)[:, 0]
    assert digest(with_buffers(a=strided, b=tensor)) == digest(with_buffers(b=tensor, a=tensor))


def test_the_digest_ignores_everything_but_tensors() -> None:
    class Noted(torch.nn.Linear):
        def get_extra_state(self) -> object:
            return {"when": object()}

        def set_extra_state(self, state: object) -> None: ...

    plain, noted = torch.nn.Linear(2, 2), Noted(2, 2)
    noted.weight, noted.bias = plain.weight, plain.bias
    assert digest(noted) == digest(plain)


class Upgrading(torch.nn.Module):
    """Doubles a scale saved at version 1; raises an error without a version, as torchvision's MNASNet does."""

    _version = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
        version = local_metadata.get("version")
        if version is None:
            raise ValueError("version should be 1 or 2 instead of None")
        if version == 1:
            state_dict[f"{prefix}scale"] = state_dict[f"{prefix}scale"] * 2
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class Holder(torch.nn.Module):
    """A network whose upgrade hook is in an inner module."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Upgrading()


class Extra(torch.nn.Module):
    """Keeps plain values in addition to its weights."""

    def __init__(self, step: int = 0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.step = step

    def get_extra_state(self) -> dict[str, Any]:
        return {"step": self.step, "names": ["a"]}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.step = state["step"]


class Lazy(torch.nn.Module):
    """Infers the shapes of its weights from the loaded checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.LazyConv2d(8, 3)
        self.fc = torch.nn.LazyLinear(10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.conv(pixels)).mean((2, 3)))  # type: ignore[no-any-return]


def built(architecture: str, path: Path, content: object, **keys: Any) -> torch.nn.Module:
    torch.save(content, path)
    return build_network(Model(f"{__name__}:{architecture}", checkpoint=str(path), **keys))


def doubled(wrap: torch.nn.Module) -> Any:
    """Returns the content that ``wrap`` saves for a module of version 1."""
    content = wrap.state_dict()
    for path, known in content._metadata.items():
        if path.endswith("inner"):
            known["version"] = 1
    return content


@pytest.mark.parametrize("wrapped", [False, True])
def test_modules_see_the_versions_in_the_file(tmp_path: Path, *, wrapped: bool) -> None:
    wrap = torch.nn.DataParallel(Holder()) if wrapped else Holder()
    assert built("Holder", tmp_path / "a.pt", wrap.state_dict()).get_parameter("inner.scale").item() == 1
    assert built("Holder", tmp_path / "a.pt", {"state_dict": doubled(wrap)}).get_parameter("inner.scale").item() == 2
    prefixed = torch.nn.ModuleDict({"student": Holder(), "teacher": Holder()})
    assert (
        built("Holder", tmp_path / "a.pt", doubled(prefixed), prefix="student").get_parameter("inner.scale").item() == 2
    )


def test_safetensors_name_no_version_and_are_taken_as_of_the_present_one(tmp_path: Path) -> None:
    safetensors.torch.save_file(Holder().state_dict(), tmp_path / "a.safetensors")
    network = build_network(Model(f"{__name__}:Holder", checkpoint=str(tmp_path / "a.safetensors")))
    assert network.get_parameter("inner.scale").item() == 1


def test_safetensors_of_before_versions_are_converted(tmp_path: Path) -> None:
    weights = {name: tensor for name, tensor in tiny(10).state_dict().items() if "num_batches" not in name}
    safetensors.torch.save_file(weights, tmp_path / "a.safetensors")
    build_network(Model("networks:tiny", checkpoint=str(tmp_path / "a.safetensors")))


def test_extra_state_is_loaded_and_digested(tmp_path: Path) -> None:
    networks = [built("Extra", tmp_path / "a.pt", {"model": Extra(step).state_dict()}) for step in (3, 3, 4)]
    assert [network.step for network in networks] == [3, 3, 4]
    assert digest(networks[0]) == digest(networks[1]) != digest(networks[2])


def test_lazy_layers_take_their_shapes_from_the_file(tmp_path: Path) -> None:
    network = Lazy()
    network(torch.zeros(1, 3, 8, 8))
    found = built("Lazy", tmp_path / "a.pt", network.state_dict())
    assert torch.equal(found.fc.weight, network.fc.weight)
    assert type(found.fc) is torch.nn.Linear
    with pytest.raises(JobError, match=r"missing: .*fc.bias"):
        built("Lazy", tmp_path / "a.pt", {"conv.weight": torch.ones(8, 3, 3, 3)})
    with pytest.raises(JobError, match="lazy layers do not run"):
        built("Lazy", tmp_path / "a.pt", {**network.state_dict(), "conv.weight": torch.ones(8, 5, 3, 3)})


def test_a_fix_names_the_part_or_the_pattern(tmp_path: Path) -> None:
    own = tiny(10).state_dict()
    path = tmp_path / "a.ckpt"
    two = {f"module.{part}.{name}": tensor for part in ("encoder_q", "encoder_k") for name, tensor in own.items()}
    torch.save({"state_dict": two}, path)
    with pytest.raises(JobError, match=r"model\.prefix=module\.encoder_k\. or model\.prefix=module\.encoder_q\."):
        build_network(Model("networks:tiny", checkpoint=str(path)))
    build_network(Model("networks:tiny", checkpoint=str(path), prefix="module.encoder_q."))
    torch.save({**{f"model.{name}": tensor for name, tensor in own.items()}, "criterion.weight": torch.ones(2)}, path)
    with pytest.raises(JobError, match=r"model\.ignore=\[criterion\.\*\]"):
        build_network(Model("networks:tiny", checkpoint=str(path)))
    build_network(Model("networks:tiny", checkpoint=str(path), ignore=["criterion.*"]))
    for keys in ({"prefix": "enc"}, {"ignore": ["loss.*"]}):
        with pytest.raises(JobError, match=r"matches no name .* begin with criterion, model"):
            build_network(Model("networks:tiny", checkpoint=str(path), **keys))


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_reported_with_key_and_address() -> None:
    model = Model("networks:tiny", checkpoint="http://user:secret@127.0.0.1:9/x.pt", labels=None)
    with pytest.raises(UnreachableError, match=r"model\.checkpoint=http://.*127\.0\.0\.1:9/x\.pt.*") as raised:
        model.check()
    assert "secret" not in str(raised.value)
    assert "fix: " in str(raised.value)
