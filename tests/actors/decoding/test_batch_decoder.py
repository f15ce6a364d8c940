from __future__ import annotations

import subprocess
import sys

import pytest

from actors.decoding.batch_decoder import load_decoder
from actors.decoding.config import Decode, DecodeDevice, has_nvimgcodec
from actors.errors import JobError
from actors.preprocess import Preprocess

PREPROCESS = Preprocess(resize=16, crop=16)


@pytest.mark.parametrize("device", [DecodeDevice.cpu, DecodeDevice.auto])
def test_the_cpu_needs_no_decoder_of_batches(device: DecodeDevice) -> None:
    assert load_decoder(Decode(device=device), PREPROCESS) is None


def test_a_gpu_that_is_not_there_is_no_reason_to_be_slow() -> None:
    import torch  # noqa: PLC0415

    if has_nvimgcodec() and torch.cuda.is_available():
        assert load_decoder(Decode(device=DecodeDevice.gpu), PREPROCESS)
        return
    with pytest.raises(JobError, match=r"decode\.device=gpu: .*\n  fix: .*decode\.device=cpu"):
        load_decoder(Decode(device=DecodeDevice.gpu), PREPROCESS)


def test_a_reader_on_the_cpu_loads_nothing_of_a_gpu() -> None:
    heavy = "{'torch', 'nvidia', 'actors.decoding.gpu_decoder'}"
    code = f"import sys, actors.decoding.batch_decoder; print(*sys.modules.keys() & {heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
