"""The dashboard and the alert rules use metrics and labels that a worker has, and are of the form that is read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.metrics_reference import described

FOLDER = Path(__file__).resolve().parents[1] / "service" / "deploy" / "observability"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
RULES: dict[str, Any] = yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))

OF_PROMETHEUS = {"up": {"job", "instance"}}
OF_EVERY_SERIES = {"instance", "job"}
WORDS = {"by", "or", "and", "unless", "offset"}
FUNCTIONS = {"absent", "count", "histogram_quantile", "increase", "max", "min", "rate", "sum", "time"}
DURATION = r"\[[^\]]*\]|\boffset \d+[smhd]"


def labels_by_series() -> dict[str, set[str]]:
    series = {name: set(labels) for name, labels in OF_PROMETHEUS.items()}
    for name, kind, labels, _ in described():
        series[name] = set(labels) | OF_EVERY_SERIES
        if kind == "histogram":
            series |= {f"{name}_{part}": series[name] for part in ("count", "sum")}
            series[f"{name}_bucket"] = series[name] | {"le"}
    return series


def faults(expression: str) -> list[str]:
    """What stands in a PromQL expression that no worker has: series, labels, functions."""
    known = labels_by_series()
    plain = re.sub(r'"(?:\\.|[^"\\])*"', '""', re.sub(DURATION, "", expression))
    grouped = [label.strip() for group in re.findall(r"\bby \(([^)]*)\)", plain) for label in group.split(",")]
    matched = [label for part in re.findall(r"\{([^}]*)\}", plain) for label in re.findall(r"(\w+)\s*[!=]", part)]
    bare = re.sub(r"\bby \([^)]*\)|\{[^}]*\}", "", plain)
    calls = set(re.findall(r"\b([a-z_]+)\s*\(", bare)) - WORDS
    names = set(re.findall(r"\b[a-z_][a-z_0-9]*\b", bare)) - calls - WORDS
    labels = set[str]().union(*(known.get(name, set()) for name in names))
    found = [f"no series {name}" for name in sorted(names - known.keys())]
    found += [f"no label {label}" for label in sorted({*grouped, *matched} - labels)]
    found += [f"no function {name}" for name in sorted(calls - FUNCTIONS)]
    if not names:
        found.append("no series at all")
    return found + ["brackets"] * (plain.count("(") != plain.count(")") or plain.count("{") != plain.count("}"))


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum(rate(tidegate_decision_total[5m]))", "no series tidegate_decision_total"),
        ("sum by (reson) (tidegate_decisions_total)", "no label reson"),
        ('tidegate_decisions_total{reson="x"}', "no label reson"),
        ("tidegate_decision_seconds", ""),
        ("sum by (le) (tidegate_streams)", "no label le"),
        ("ratio(tidegate_streams)", "no function ratio"),
        ("sum(tidegate_streams", "brackets"),
        ("1 > 0", "no series at all"),
    ],
)
def test_what_no_worker_has_is_found(expression: str, fault: str) -> None:
    assert faults(expression) == ([fault] if fault else [])


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_shows_what_a_worker_has(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        assert faults(target["expr"]) == []
        assert 'instance=~"$instance"' in target["expr"]
        grouped = {label.strip() for g in re.findall(r"\bby \(([^)]*)\)", target["expr"]) for label in g.split(",")}
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouped
        assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
    assert panel["fieldConfig"]["defaults"]["unit"]


PER_SECOND = {"reqps", "ops", "cps", "Bps"}
MAY_BE_EMPTY = {"endpoint", "tier", "phase", "reason", "failure", "method"}
"""Labels of decisions and responses that say nothing where there is nothing to say."""


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_has_the_unit_of_what_it_shows_and_no_series_without_a_name(panel: dict[str, Any]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        expression, legend = target["expr"], target["legendFormat"]
        if "histogram_quantile" in expression:
            assert unit == "s"
        else:
            assert (unit in PER_SECOND) == ("rate(" in expression)
        labels = re.findall(r"\{\{(\w+)\}\}", legend)
        fixed = re.sub(r"\{\{\w+\}\}", "", legend).strip()
        named = [label for label in labels if label not in MAY_BE_EMPTY or f'{label}!=""' in expression]
        assert panel["type"] == "stat" or fixed or named


def test_a_stat_that_is_out_says_so_in_words() -> None:
    """A bare 1 or 0 tells nobody whether that is good."""
    stats = [panel for panel in panels() if panel["type"] == "stat"]
    states = [one for one in stats if re.search(r"tidegate_(store_exact|audit_av)", one["targets"][0]["expr"])]
    assert len(states) == 2
    for panel in states:
        (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
        assert {state: shown["color"] for state, shown in mapping["options"].items()} == {"0": "red", "1": "green"}


def test_panels_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"])))
    assert used - {"__rate_interval"} == names


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_a_worker_has(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert faults(rule["expr"]) == []
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    summary = rule["annotations"]["summary"]
    assert summary.endswith(".")
    shown = set(re.findall(r"\$labels\.(\w+)", summary))
    kept = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for label in group.split(",")}
    assert shown <= kept


def test_alerts_have_names_of_their_own() -> None:
    assert RULES.keys() == {"groups"}
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len({*names}) > 10


def test_everything_that_is_out_has_an_alert() -> None:
    """Gauges that say 0 while something is out."""
    out = {name for name, kind, _, meaning in described() if kind == "gauge" and "0 while" in meaning}
    assert len(out) == 4
    assert [name for name in sorted(out) if not any(name in rule["expr"] for rule in rules())] == []


def test_the_page_on_operations_names_every_alert_what_it_asks_for_and_whom_it_wakes() -> None:
    page = (FOLDER.parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"\| alert \| when \| why \|\n.*?\n\n", page, re.DOTALL)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.strip().splitlines()[2:]]
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}
    assert {name.strip("*"): "page" if name[0] == "*" else "ticket" for name, _, _ in rows} == severities
    asked = {rule["alert"]: rule["expr"] for rule in rules()}
    for name, when, _ in rows:
        named = re.findall(r"`(tidegate_\w+)`", when)
        assert [metric for metric in named if metric not in asked[name.strip("*")]] == [], name
