from __future__ import annotations

from typing import Any

import pytest
import torchvision_operators  # noqa: F401  before transformers, which imports torchvision
import transformers

from actors.models.sources.image_processor_types import TYPES


@pytest.mark.parametrize("kind", TYPES)
def test_the_defaults_are_those_of_the_class(kind: str) -> None:
    processor = getattr(transformers, f"{kind}ImageProcessor")()
    for key, value in TYPES[kind].items():
        if key != "max_size":  # a default in the code, not an attribute
            assert _plain(getattr(processor, key)) == _plain(value), key
    for name in ("do_center_crop", "do_pad", "do_flip_channel_order", "include_top", "rescale_offset"):
        assert bool(getattr(processor, name, False)) is bool(TYPES[kind].get(name)), name


def _plain(value: Any) -> Any:
    if isinstance(value, int | float | str | None):
        return value or False
    return (
        list(value)
        if isinstance(value, list | tuple)
        else {name: length for name, length in dict(value).items() if length}
    )
