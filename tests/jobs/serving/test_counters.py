from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from jobs.serving.counters import Counters


def test_the_page_is_what_prometheus_reads() -> None:
    counters = Counters(process="7")
    for status in (200, 200, 422):
        counters.add_request(status)
    counters.add_answer(0, is_error=True)
    for batch_size in (3, 5):
        counters.add_answer(batch_size, is_error=False)
    families = text_string_to_metric_families(counters.text())
    values = {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}
    assert values == {
        ("shardlens_serve_requests_total", "200", "7"): 2, ("shardlens_serve_requests_total", "422", "7"): 1,
        ("shardlens_serve_images_total", "error", "7"): 1, ("shardlens_serve_images_total", "ok", "7"): 2,
        ("shardlens_serve_batch_images_sum", "7"): 8, ("shardlens_serve_batch_images_count", "7"): 2,
        ("shardlens_serve_largest_batch", "7"): 5,
    }  # fmt: skip
