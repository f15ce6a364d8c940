from __future__ import annotations

from typing import Any

import pytest
import torch

from actors.errors import JobError
from actors.models.state_dicts import rename, unwrap

WEIGHTS = {"conv.weight": torch.ones(2, 2), "conv.bias": torch.ones(2)}
AVERAGED = {name: tensor * 3 for name, tensor in WEIGHTS.items()}


def prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def loaded(content: object, *, ema: bool = False) -> dict[str, torch.Tensor]:
    return rename(unwrap(content, ema=ema, where="model.checkpoint=x.pt"), WEIGHTS.keys())


def assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "_orig_mod.", "model._orig_mod.module."])
@pytest.mark.parametrize("keys", [(), ("state_dict",), ("model",), ("model", "state_dict"), ("net",), ("module",)])
def test_dictionaries_and_prefixes_are_undone(keys: tuple[str, ...], prefix: str) -> None:
    content: dict[str, Any] = prefixed(prefix, WEIGHTS)
    for key in keys:
        content = {"epoch": 3, "lr": torch.tensor(0.1), key: content, "args": {"model": "resnet"}, "note": None}
    if keys:
        assert_equal(loaded(content), WEIGHTS)
    else:
        assert_equal(loaded({**content, "version": 1}), WEIGHTS)


def test_what_compiling_puts_inside_names_is_undone() -> None:
    assert_equal(loaded({f"conv._orig_mod.{name[5:]}": tensor for name, tensor in WEIGHTS.items()}), WEIGHTS)


def test_a_networks_own_prefix_stays() -> None:
    own = prefixed("model.", WEIGHTS)
    assert_equal(rename(own, own.keys()), own)
    assert_equal(rename(prefixed("module.", own), own.keys()), own)


def test_names_that_would_fall_together_stay() -> None:
    both = {**WEIGHTS, **prefixed("module.", WEIGHTS)}
    assert rename(both, WEIGHTS.keys()).keys() == both.keys()


def test_what_fits_nothing_keeps_its_names() -> None:
    assert rename({"module.a": torch.ones(1)}, {"b"}).keys() == {"module.a"}


def test_an_entry_outside_the_prefix_is_still_there_to_be_reported() -> None:
    found = rename({**prefixed("module.", WEIGHTS), "loss.weight": torch.ones(1)}, WEIGHTS.keys())
    assert found.keys() == {*WEIGHTS, "loss.weight"}


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": WEIGHTS, "state_dict_ema": AVERAGED},
        {"model": WEIGHTS, "model_ema": prefixed("module.", AVERAGED)},
        {"model": WEIGHTS, "ema": {"module": AVERAGED, "updates": 7}},
        {"model": WEIGHTS, "ema": {"decay": 0.99, "shadow": AVERAGED}},
        {"model": WEIGHTS, "model_ema": {"n_averaged": torch.tensor(5), **prefixed("module.", AVERAGED)}},
        {"state_dict": {**prefixed("model.", WEIGHTS), **prefixed("ema_model.", AVERAGED)}},
        {"state_dict": {**WEIGHTS, **prefixed("model_ema.module.", AVERAGED)}},
    ],
)
def test_averaged_weights_come_when_asked_for_and_only_then(content: dict[str, Any]) -> None:
    assert_equal(loaded(content), WEIGHTS)
    assert_equal(loaded(content, ema=True), AVERAGED)


def test_the_fix_names_the_way_to_the_weights() -> None:
    content = {"state": {"epoch": 3, "generator": {"state_dict": prefixed("module.", WEIGHTS)}, "optimizer": WEIGHTS}}
    with pytest.raises(JobError, match=r"fix: name the part to load: model\.prefix=state\.generator\.state_dict\.$"):
        loaded(content)
    prefix = "state.generator.state_dict."
    found = unwrap(content, ema=False, where="", prefix=prefix)
    assert {f"{prefix}module.{name}" for name in WEIGHTS} <= found.keys()


def test_averaged_weights_that_are_not_there_are_missed_by_name() -> None:
    with pytest.raises(
        JobError, match=r"model\.ema=true: .* its top-level keys: epoch, model, ema\n.*model\.ema=false"
    ):
        loaded({"epoch": 1, "model": WEIGHTS, "ema": None}, ema=True)


def test_averaged_weights_alone_are_not_taken_for_the_last_ones() -> None:
    with pytest.raises(JobError, match=r"no weights are found.*\n  fix: set model\.ema=true"):
        loaded({"epoch": 1, "state_dict_ema": AVERAGED})


def test_a_network_may_have_a_part_that_is_called_like_an_average() -> None:
    own = prefixed("teacher.", WEIGHTS)
    assert_equal(rename(unwrap(own, ema=False, where="x"), own.keys()), own)


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ([WEIGHTS], "holds a list"),
        (torch.ones(2), "holds a Tensor"),
        (None, "holds a NoneType"),
        ({}, "keys: none"),
        ({"optimizer": {"state": {0: {"step": torch.ones(1)}}}, "epoch": 3}, "keys: optimizer, epoch"),
        (dict.fromkeys(range(100)), "18, 19\n"),
    ],
)
def test_what_holds_no_weights_says_what_it_holds(content: object, seen: str) -> None:
    with pytest.raises(JobError, match=seen) as raised:
        loaded(content)
    assert "torch.save(model.state_dict()" in raised.value.fix


def test_a_prefix_may_lead_into_a_dictionary_of_another_name() -> None:
    content = {"generator": WEIGHTS, "step": 3, "discriminator": {"net": prefixed("module.", WEIGHTS)}}
    found = unwrap(content, ema=False, where="a.pt", prefix="discriminator.net.module.")
    assert {f"discriminator.net.module.{name}" for name in WEIGHTS} < found.keys()
    with pytest.raises(JobError, match=r"model\.prefix=generator\. or model\.prefix=discriminator\."):
        unwrap(content, ema=False, where="a.pt")
    with pytest.raises(JobError, match=r"model\.ema=true, or .*model\.prefix=student\. or model\.prefix=teacher\."):
        unwrap({"student": WEIGHTS, "teacher": WEIGHTS}, ema=False, where="a.pt")


def test_a_dictionary_that_holds_itself_ends() -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    with pytest.raises(JobError, match="keys: model"):
        loaded(content)


def test_names_with_many_prefixes_end() -> None:
    names = [f"{first}{'module.model.net.' * 30}{index}" for index, first in enumerate(("", "net.", "backbone."))]
    found = rename(dict.fromkeys(names, torch.ones(1)), {"0", "1", "2"})
    assert len(found) == 3


@pytest.mark.parametrize("key", [None, "ema"])
@pytest.mark.parametrize("has_online", [True, False])
def test_the_averages_of_ema_pytorch(key: str | None, *, has_online: bool) -> None:
    averages = {name: tensor + 1 for name, tensor in WEIGHTS.items()}
    saved = {**prefixed("ema_model.", averages), "initted": torch.tensor(data=True), "step": torch.tensor(9)}
    if has_online:
        saved |= prefixed("online_model.", WEIGHTS)
    content = saved if key is None else {"model": WEIGHTS, key: saved}
    assert_equal(loaded(content, ema=True), averages)
    if has_online:
        assert_equal(loaded(content), WEIGHTS)
