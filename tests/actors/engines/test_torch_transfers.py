from __future__ import annotations

import numpy as np
import pytest
import torch

from actors.engines.torch_transfers import Transfers

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_gpu)]


def images(number: int) -> np.ndarray:
    pixels = np.random.default_rng(number).integers(0, 256, (number, 8, 6, 3), dtype=np.uint8)
    pixels.flags.writeable = False
    return pixels


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [5, 8])
def test_pixels_reach_the_device_with_blank_images_behind_them(device: str, size: int) -> None:
    sent = Transfers(device).send(images(5), size)
    assert (sent.device.type, sent.dtype, tuple(sent.shape)) == (device, torch.uint8, (size, 8, 6, 3))
    np.testing.assert_array_equal(sent[:5].cpu().numpy(), images(5))
    assert not sent[5:].any()


@pytest.mark.parametrize("device", DEVICES)
def test_a_tensor_on_the_device_is_not_copied_unless_it_is_padded(device: str) -> None:
    there = torch.from_numpy(images(5).copy()).to(device)
    assert Transfers(device).send(there, 5) is there
    sent = Transfers(device).send(there, 8)
    assert (sent.device.type, tuple(sent.shape)) == (device, (8, 8, 6, 3))
    np.testing.assert_array_equal(sent[:5].cpu().numpy(), images(5))
    assert not sent[5:].any()


@needs_gpu
def test_a_tensor_in_memory_reaches_the_gpu() -> None:
    sent = Transfers("cuda").send(torch.from_numpy(images(5).copy()), 5)
    assert sent.device.type == "cuda"
    np.testing.assert_array_equal(sent.cpu().numpy(), images(5))


@pytest.mark.parametrize("device", DEVICES)
def test_what_was_sent_does_not_follow_its_source(device: str) -> None:
    source = images(4).copy()
    sent = Transfers(device).send(source, 4)
    source[:] = 0
    np.testing.assert_array_equal(sent.cpu().numpy(), images(4))


@pytest.mark.parametrize("device", DEVICES)
def test_tensors_come_back_as_arrays_of_the_callers(device: str) -> None:
    scores = torch.linspace(-1, 1, 24, dtype=torch.float64, device=device).view(4, 6)
    tensors = {"scores": scores.to(torch.bfloat16), "double": scores, "apart": scores.T[:4], "ids": scores.argmax(1)}
    found = Transfers(device).fetch(tensors, 3).result()
    assert {name: array.dtype for name, array in found.items()} == {
        "scores": np.float32,
        "double": np.float32,
        "apart": np.float32,
        "ids": np.int64,
    }
    for name, array in found.items():
        assert len(array) == 3
        assert array.flags.writeable
        assert array.flags.c_contiguous
        wanted = tensors[name][:3].cpu()
        np.testing.assert_array_equal(array, (wanted.float() if wanted.is_floating_point() else wanted).numpy())


@needs_gpu
def test_a_gpu_gives_each_batch_its_own_pixels_however_many_are_on_their_way() -> None:
    transfers = Transfers("cuda")
    batches = [np.full((64, 224, 224, 3), number, np.uint8) for number in range(40)]
    weights = torch.rand(2048, 2048, device="cuda")
    pending = []
    for batch in batches:
        sent = transfers.send(batch, 64)
        for _ in range(5):  # keeps the device busy, so that memory is requested while it is still being read
            weights = torch.tanh(weights @ weights)
        pending.append(transfers.fetch({"first": sent[:, 0, 0, 0], "sum": sent.sum((1, 2, 3), dtype=torch.int64)}, 64))
        del sent
    for number, one in enumerate(pending):
        found = one.result()
        assert (found["first"] == number).all()
        assert (found["sum"] == number * 224 * 224 * 3).all()


@needs_gpu
def test_a_gpu_gives_what_its_network_computed_before_and_nothing_later() -> None:
    transfers, tensor = Transfers("cuda"), torch.zeros(1 << 20, device="cuda")
    pending = []
    for number in range(20):
        tensor.fill_(number)
        pending.append(transfers.fetch({"output": tensor}, len(tensor)))
    assert [set(one.result()["output"].tolist()) for one in pending] == [{number} for number in range(20)]


@needs_gpu
def test_a_gpu_and_the_network_go_on_while_pixels_are_copied() -> None:
    """Copies overlap the network: a copy requested while the network computes finishes first."""
    transfers, weights = Transfers("cuda"), torch.rand(8192, 8192, device="cuda")
    batch = np.zeros((64, 224, 224, 3), np.uint8)
    transfers.send(batch, 64)
    torch.cuda.synchronize()
    for _ in range(50):
        weights = torch.tanh(weights @ weights)
    computed = torch.cuda.Event()
    computed.record()
    transfers.send(batch, 64)
    assert transfers._copies is not None
    transfers._copies.synchronize()
    assert not computed.query()
