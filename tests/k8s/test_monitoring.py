"""The dashboard and the alerts use metrics and labels of the job, in expressions that Prometheus accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
import yaml

from jobs.reporting.metrics import COUNTERS, GAUGES, LABELS, names

FOLDER = Path(__file__).parents[2] / "k8s" / "monitoring"
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
RULES = yaml.safe_load((FOLDER / "prometheusrule.yaml").read_text())
OF_TARGETS = {"pod", "namespace"}  # Prometheus adds them


def expressions() -> Iterator[tuple[str, str]]:
    """Yields each expression with the name of its panel or alert."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m").replace("$run", ".*")
    for group in RULES["spec"]["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def breaches(expression: str) -> list[str]:
    """Returns the metrics and labels of an expression that no job has, or its syntax error."""
    try:
        promql_parser.parse(expression)
    except ValueError as error:
        return [str(error)]
    grouped = re.findall(r"\b(?:by|on|group_left|group_right|without) ?\(([^)]*)\)", expression)
    matched = re.findall(r"[{,] *(\w+) *(?:=~|!~|!=|=)", expression)
    asked = {label.strip() for labels in grouped for label in labels.split(",") if label.strip()} | set(matched)
    known = {*LABELS, *OF_TARGETS, *(label for said in COUNTERS.values() for label in said.labels)}
    unknown = set(re.findall(r"\w*shardlens_\w+|\bray_\w+", expression)) - names()
    return [*sorted(unknown), *sorted(asked - known)]


@pytest.mark.parametrize(("name", "expression"), list(expressions()))
def test_an_expression_asks_for_what_is_there(name: str, expression: str) -> None:
    assert breaches(expression) == [], name


@pytest.mark.parametrize(
    ("expression", "breach"),
    [
        ("sum by (run) (ray_shardlens_images_total)", "ray_shardlens_images_total"),
        ("shardlens_images_left", "shardlens_images_left"),
        ("sum by (image) (ray_shardlens_images_left)", "image"),
        ('ray_shardlens_images_left{uri="x"}', "uri"),
        ("sum by (run) (", "unclosed left parenthesis"),
    ],
)
def test_a_wrong_expression_is_a_breach(expression: str, breach: str) -> None:
    assert breaches(expression) == [breach]


def test_every_metric_is_shown_or_alerted_on() -> None:
    used = "\n".join(expression for _, expression in expressions())
    assert {name for name in names() if name not in used} == set()
    assert len(names()) == len(COUNTERS) + len(GAUGES)


def test_panels_do_not_overlap() -> None:
    taken = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_each_alert_says_what_to_do() -> None:
    for rule in RULES["spec"]["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_pod_monitor_finds_the_pods_and_the_port_of_ray() -> None:
    monitor, policy = (yaml.safe_load((FOLDER / name).read_text()) for name in ("podmonitor.yaml", "network.yaml"))
    job = yaml.safe_load((FOLDER.parent / "base" / "rayjob.yaml").read_text())
    cluster = job["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    [ingress] = policy["spec"]["ingress"]
    for pod in pods:
        labels = pod["metadata"]["labels"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        assert ports[endpoint["port"]] == ingress["ports"][0]["port"]
