from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest

from jobs.cli.shutdown import Shutdown, StoppedError, ThreadShutdown

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
    time.sleep(0.3)  # the grace period ends with the block


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


def stopped_by_signal(*, gently: bool) -> None:
    stop = Shutdown(grace_s=5)
    with stop.passing_on():
        stop.install()
        with stop.draining() if gently else nullcontext():
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("gently", [True, False])
def test_the_caller_gets_its_handlers_back_and_then_the_signal(*, gently: bool) -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    with pytest.raises(KeyboardInterrupt):
        stopped_by_signal(gently=gently)
    assert [signal.getsignal(number) for number in NUMBERS] == before


def in_thread(target: Callable[[], None]) -> list[BaseException]:
    """Returns the error that ``target`` raises in a thread."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            target()
        except BaseException as error:  # noqa: BLE001  the test looks at it
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised


def test_in_another_thread_an_interrupt_ends_the_job_in_order_and_leaves_the_main_thread_alone() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    stop = ThreadShutdown(grace_s=0.05)
    done = []

    def job() -> None:
        stop.install()
        with stop.passing_on(), stop.draining():
            stop.interrupt(RuntimeError("too late"), after_s=60)
            stop.interrupt(RuntimeError("taken over"))
            while not stop.is_asked:
                time.sleep(0.001)
            done.append("images in flight")

    (error,) = in_thread(job)
    assert str(error) == "taken over"
    assert done == ["images in flight"]
    assert [signal.getsignal(number) for number in NUMBERS] == before

    def asked() -> None:
        again = ThreadShutdown(grace_s=60)
        with again.draining():
            again.ask()
            assert again.is_asked

    assert in_thread(asked) == [], "within the grace period"
