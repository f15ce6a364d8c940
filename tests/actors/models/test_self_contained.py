from __future__ import annotations

import pytest

from actors.errors import JobError
from actors.models.self_contained import check_alone
from actors.models.spec import Model


def test_every_key_of_a_state_dict_is_named() -> None:
    check_alone(Model(checkpoint="a.onnx"))
    with pytest.raises(JobError) as raised:
        check_alone(Model("package:Net", {"a": 1}, "a.onnx", ema=True, prefix="p.", ignore=["b"]))
    for key in ("architecture=null", "kwargs={}", "ema=false", "prefix=null", "ignore=[]"):
        assert f"model.{key}" in raised.value.fix
