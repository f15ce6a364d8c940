from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from jobs.cli.shutdown import Shutdown, StoppedError

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


@pytest.fixture
def stop() -> Iterator[Shutdown]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    stop = Shutdown(grace_s=0.2)
    stop.install()
    yield stop
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_main_thread_at_once(stop: Shutdown, number: signal.Signals) -> None:
    with pytest.raises(StoppedError):
        os.kill(os.getpid(), number)
    assert not stop.is_asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_draining_the_first_signal_only_asks(stop: Shutdown, number: signal.Signals) -> None:
    with stop.draining():
        os.kill(os.getpid(), number)
        assert stop.is_asked
    time.sleep(0.3)  # the grace period does not outlast the block


def test_the_second_signal_stops_at_once(stop: Shutdown) -> None:
    with stop.draining():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StoppedError):
            os.kill(os.getpid(), signal.SIGTERM)


def test_the_grace_period_ends(stop: Shutdown) -> None:
    threading.Timer(0.1, stop.ask).start()
    with pytest.raises(StoppedError), stop.draining():
        time.sleep(10)


def test_another_thread_interrupts_with_an_error_of_its_own(stop: Shutdown) -> None:
    threading.Timer(0.1, stop.interrupt, args=(RuntimeError("taken over"),)).start()
    with pytest.raises(RuntimeError, match="taken over"), stop.draining():
        time.sleep(10)
