"""Counters of the endpoint, in the Prometheus text format. Lives in the ingress."""

from __future__ import annotations

from collections import Counter


class Counters:
    """Counts requests by status, images by outcome, and batch sizes. For use in a single event loop: it has no locks.

    Args:
        process: label that distinguishes this process from earlier and concurrent ones, so that sums are correct.
    """

    def __init__(self, process: str) -> None:
        self._process = process
        self._requests: Counter[int] = Counter()
        self._images: Counter[str] = Counter()
        self._batch_sizes = 0
        self._num_batched = 0
        self._largest_batch = 0

    def add_request(self, status: int) -> None:
        self._requests[status] += 1

    def add_answer(self, batch_size: int, *, is_error: bool) -> None:
        """Counts an image that was in a batch of ``batch_size`` images; 0 means in no batch."""
        self._images["error" if is_error else "ok"] += 1
        if batch_size:
            self._num_batched += 1
            self._batch_sizes += batch_size
            self._largest_batch = max(self._largest_batch, batch_size)

    def text(self) -> str:
        """Returns the metrics page."""
        lines = ["# TYPE shardlens_serve_requests_total counter"]
        lines += [
            self._line("requests_total", count, status=status) for status, count in sorted(self._requests.items())
        ]
        lines += ["# TYPE shardlens_serve_images_total counter"]
        lines += [self._line("images_total", n, outcome=name) for name, n in sorted(self._images.items())]
        lines += [
            "# HELP shardlens_serve_batch_images Size of the batch of each image.",
            "# TYPE shardlens_serve_batch_images summary",
            self._line("batch_images_sum", self._batch_sizes),
            self._line("batch_images_count", self._num_batched),
            "# TYPE shardlens_serve_largest_batch gauge",
            self._line("largest_batch", self._largest_batch),
        ]
        return "\n".join(lines) + "\n"

    def _line(self, name: str, value: int, **labels: object) -> str:
        pairs = ",".join(f'{key}="{text}"' for key, text in {**labels, "process": self._process}.items())
        return f"shardlens_serve_{name}{{{pairs}}} {value}"
