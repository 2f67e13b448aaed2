"""The dashboard and the alert rules ask only for what the server tells."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving import Server

_DEPLOY = Path(__file__).parents[2] / "deploy"
_DASHBOARD = json.loads((_DEPLOY / "grafana.json").read_text())
_RULES = [rule for group in yaml.safe_load((_DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def samples(server: Server) -> dict[str, set[str]]:
    """Read what a server tells: the labels of each sample, by its name."""
    server.client.post("/eval", json={"input": "print(1)"})
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"(?m)^([a-z_]+)(?:\{(.*)\})? ", server.client.get("/metrics").text):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def expressions() -> Iterator[str]:
    for rule in _RULES:
        yield rule["expr"]
    for panel in _DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in _DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]


ADDED = {"instance", "job"}
"""Labels that Prometheus adds to every sample."""


@pytest.mark.parametrize("expression", list(dict.fromkeys(expressions())))
def test_an_expression_asks_for_what_there_is(expression: str, samples: dict[str, set[str]]) -> None:
    names = re.findall(r"\b(?:snekhouse|process)_[a-z_]+", expression)
    assert names
    assert set(names) <= set(samples)
    known = ADDED.union(*(samples[name] for name in names))
    for asked in re.findall(r"\{([^}]*)\}|by \(([^)]*)\)|label_values\(\w+, (\w+)\)", expression):
        labels = re.findall(r"(?:^|, *)(\w+)", "".join(asked))
        assert set(labels) <= known, expression


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert {"summary", "description"} == rule["annotations"].keys()
    for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
        assert label in rule["expr"] or label == "instance" or "by" not in rule["expr"]


def test_the_dashboard_has_every_metric(samples: dict[str, set[str]]) -> None:
    asked = set(re.findall(r"snekhouse_[a-z_]+", json.dumps(_DASHBOARD)))
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples if name.startswith("snekhouse")}
    assert ours == {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}


def test_panels_do_not_lie_on_each_other() -> None:
    taken = [
        (x, y)
        for panel in _DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
