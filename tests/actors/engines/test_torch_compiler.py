from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch._inductor import config
from torch.profiler import profile

from actors.engines.torch_compiler import compiled, piece_size
from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DARK, LIGHT = torch.zeros(4, 3), torch.ones(4, 3)

# Reports its version, and then fails as it does without the Python headers.
BROKEN_COMPILER = """#!/bin/sh
case "$1" in
    --version | -dump*) echo "g++ 13.2.0" ;;
    *) echo "cpp_prefix.h:4:10: fatal error: Python.h: No such file or directory" >&2; exit 1 ;;
esac
"""


class Branching(nn.Module):
    """Branches on the values of its input, which a compiler cannot trace."""

    def __init__(self) -> None:
        super().__init__()
        self.light = nn.Linear(3, 2)
        self.dark = nn.Linear(3, 2)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if batch.mean() > 0.5:
            return self.light(batch)
        return self.dark(batch)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return Branching().eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def run(network: nn.Module) -> Callable[[torch.Tensor], Any]:
    torch.set_num_threads(1)
    return compiled(network, LIGHT)


def num_regions(run: Callable[[torch.Tensor], Any], batch: torch.Tensor) -> int:
    """Returns the number of compiled code objects that a call runs."""
    with torch.inference_mode(), profile() as profiled:
        run(batch)
    return sum(event.name.startswith("Torch-Compiled Region") for event in profiled.events())


@pytest.mark.parametrize("batch", [LIGHT, DARK, LIGHT[:3], LIGHT[:1]])
def test_a_network_that_no_compiler_can_follow_answers_right(
    network: nn.Module, run: Callable[[torch.Tensor], Any], batch: torch.Tensor
) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(run(batch), network(batch))


def test_asking_for_cuda_graphs_changes_nothing_on_a_cpu(network: nn.Module) -> None:
    with torch.inference_mode():
        run = compiled(network, LIGHT, cuda_graphs=True)
        torch.testing.assert_close(run(LIGHT), network(LIGHT))


def test_weights_are_frozen_in(network: nn.Module, run: Callable[[torch.Tensor], Any]) -> None:
    with torch.inference_mode():
        wanted = network(LIGHT)
        network.light.bias.add_(1.0)
        assert not torch.allclose(network(LIGHT), wanted)
        torch.testing.assert_close(run(LIGHT), wanted)
        network.light.bias.sub_(1.0)


def test_nothing_is_compiled_after_the_start(run: Callable[[torch.Tensor], Any]) -> None:
    assert num_regions(run, LIGHT) == 2  # before and after the branch
    assert num_regions(run, DARK) == 1
    assert num_regions(run, LIGHT[:3]) == 0
    assert num_regions(run, LIGHT) == 2


def test_compiled_code_runs_whatever_number_of_threads_others_set(run: Callable[[torch.Tensor], Any]) -> None:
    torch.set_num_threads(2)
    assert num_regions(run, LIGHT) == 2


def test_settings_of_the_compiler_are_as_before(run: Callable[[torch.Tensor], Any]) -> None:
    assert run
    assert not config.freezing
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"
    assert config.compile_threads == config.decide_compile_threads()


@pytest.mark.slow
def test_a_machine_without_a_compiler_is_reported(tmp_path: Path) -> None:
    program = (
        "import torch\n"
        "from actors.engines.torch_compiler import compiled\n"
        "from actors.errors import JobError\n"
        "try:\n"
        "    compiled(torch.nn.Softmax(1), torch.ones(2, 3))\n"
        "except JobError as error:\n"
        "    print(error)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("CXX", "CC")}
    environment |= {"PATH": "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "finds no C++ compiler" in told.stdout
    assert "fix: install g++ on every worker, or set engine.compile=false" in told.stdout


def test_the_error_of_the_compiler_is_reported(tmp_path: Path) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text(BROKEN_COMPILER)
    compiler.chmod(0o700)
    message = r"CppCompileError: cpp_prefix\.h:4:10: fatal error: Python\.h: No such.*\n.*set engine\.compile=false"
    with config.patch({"cpp.cxx": (str(compiler),)}), pytest.raises(JobError, match=message):
        compiled(nn.Softmax(1), LIGHT)


def test_a_compiler_that_is_switched_off_is_reported() -> None:
    with torch.compiler.set_stance("force_eager"), pytest.raises(JobError, match="compiled nothing"):
        compiled(nn.Softmax(1), LIGHT)


@pytest.mark.parametrize(
    ("side", "on_cpu", "on_gpu"), [(224, 8, 32), (225, 4, 16), (32, 32, 128), (384, 2, 8), (2048, 1, 1)]
)
def test_pieces_hold_fewer_of_larger_images(side: int, on_cpu: int, on_gpu: int) -> None:
    shape = (side, side, 3)
    assert (piece_size(shape, "cpu"), piece_size(shape, "cuda")) == (on_cpu, on_gpu)
