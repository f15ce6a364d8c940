"""Starts a command's own Ray in a thread while the driver checks the job. Runs on the driver."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from jobs.cluster.ray_patches import lean_ray, lean_ray_data
from jobs.cluster.ray_start import init_ray, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from jobs.cluster.config import Cluster
    from jobs.cluster.fork_server import ForkServer


class LocalRay:
    """Ray on this machine only; stopped on exit. It can be started early, and again after a stop.

    Does nothing for a job that joins a cluster, or if this process already uses Ray.

    Args:
        cluster: config of the job.
        verbose: show Ray's logs.
        is_shared: several jobs of this process use it in turn.
    """

    def __init__(self, cluster: Cluster, *, verbose: bool, is_shared: bool = False) -> None:
        self._cluster = cluster
        self._verbose = verbose
        self._is_shared = is_shared
        self._thread: threading.Thread | None = None
        self._is_up = threading.Event()
        self._is_over = threading.Event()
        self._error: BaseException | None = None
        self._forks: ForkServer | None = None
        self._preloaded: list[str] = []
        self._preloading = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def has_begun(self) -> bool:
        return self._thread is not None

    def begin(self) -> None:
        """Starts Ray in the background, unless it has been started or this process already uses Ray."""
        ray = sys.modules.get("ray")
        if self._cluster.address is not None or self.has_begun or (ray and ray.is_initialized()):
            return
        prepare(self._cluster, verbose=self._verbose)
        self._is_up.clear()
        self._is_over.clear()
        self._thread = threading.Thread(target=self._run, name="ray", daemon=True)
        self._thread.start()

    def preload(self, module: str) -> None:
        """Imports a module for all workers while Ray starts, where they can share it."""
        with self._preloading:
            self._preloaded.append(module)
            if self._forks:
                self._forks.preload(module)

    def wait(self) -> None:
        """Starts Ray if necessary, and returns when it is up.

        Raises:
            JobError: Ray does not start here.
        """
        self.begin()
        self._is_up.wait()
        if self._error is not None:
            raise self._error

    def leave(self, *, has_failed: bool) -> None:
        """Ends one job's use of Ray: stops Ray, unless other jobs share it and this job raised no error."""
        if has_failed or not self._is_shared:
            self.stop()

    def stop(self) -> None:
        """Stops Ray if it was started."""
        if self._thread is None:
            return
        self._is_up.wait()
        import ray  # noqa: PLC0415  its thread has imported it

        if self._error is None:
            with handlers_kept():
                ray.shutdown()
        self._is_over.set()
        self._thread.join()
        self._thread, self._error = None, None

    def _run(self) -> None:
        """Starts Ray, and waits for `stop`: its processes exit with the thread that started them (PR_SET_PDEATHSIG)."""
        try:
            with lean_ray(logs=self._verbose, metrics=self._cluster.metrics_port is not None) as forks:
                self._share(forks)
                init_ray(self._cluster, verbose=self._verbose)
                with lean_ray_data():
                    self._is_up.set()
                    self._is_over.wait()
        except BaseException as error:  # noqa: BLE001  `wait` raises it in the thread that needs Ray
            self._error = error
        finally:
            self._share(None)
            self._is_up.set()

    def _share(self, forks: ForkServer | None) -> None:
        with self._preloading:
            self._forks = forks
            if forks:
                for module in self._preloaded:
                    forks.preload(module)


@contextmanager
def handlers_kept(*others: int) -> Iterator[None]:
    """Restores the handlers of SIGTERM, SIGINT and ``others`` on exit. Does nothing outside the main thread, which
    alone can change them.
    """
    is_main = threading.current_thread() is threading.main_thread()
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, *others) if is_main}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:  # one that Python did not install
                signal.signal(number, handler)
