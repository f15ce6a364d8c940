"""Counters of the endpoint, in the text format of Prometheus. Lives in the ingress."""

from __future__ import annotations

from collections import Counter


class Counters:
    """Requests by status, images by outcome, and the batches that images were in. For one event loop, without locks."""

    def __init__(self) -> None:
        self._requests: Counter[int] = Counter()
        self._images: Counter[str] = Counter()
        self._batch_sizes = 0
        self._num_batched = 0
        self._largest_batch = 0

    def add_request(self, status: int) -> None:
        self._requests[status] += 1

    def add_error(self) -> None:
        self._images["error"] += 1

    def add_image(self, batch_size: int) -> None:
        """Counts an image that was predicted in a batch of ``batch_size`` images."""
        self._images["ok"] += 1
        self._num_batched += 1
        self._batch_sizes += batch_size
        self._largest_batch = max(self._largest_batch, batch_size)

    def text(self) -> str:
        """The metrics page."""
        lines = ["# TYPE shardlens_serve_requests_total counter"]
        lines += [f'shardlens_serve_requests_total{{status="{s}"}} {n}' for s, n in sorted(self._requests.items())]
        lines += ["# TYPE shardlens_serve_images_total counter"]
        lines += [f'shardlens_serve_images_total{{outcome="{o}"}} {n}' for o, n in sorted(self._images.items())]
        lines += [
            "# HELP shardlens_serve_batch_images Size of the batch of each image.",
            "# TYPE shardlens_serve_batch_images summary",
            f"shardlens_serve_batch_images_sum {self._batch_sizes}",
            f"shardlens_serve_batch_images_count {self._num_batched}",
            "# TYPE shardlens_serve_largest_batch gauge",
            f"shardlens_serve_largest_batch {self._largest_batch}",
        ]
        return "\n".join(lines) + "\n"
