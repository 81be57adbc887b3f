"""Dashboard, alerts, monitors and traces of the chart; each metric that they name is one of somebody's."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from hack import dashboard
from llmservice_api.names import REPLICA_PORT, labels
from llmservice_gateway import settings as gateway_settings
from llmservice_gateway.ledger.metrics import Metrics as LedgerMetrics
from llmservice_gateway.metrics import Metrics as GatewayMetrics
from llmservice_operator import settings as operator_settings
from llmservice_operator.metrics import Metrics as OperatorMetrics
from llmservice_operator.service_metrics import ServiceMetrics
from llmservice_worker.metrics import EngineMetrics
from llmservice_worker.metrics import Metrics as WorkerMetrics
from llmservice_worker.usage.figures import UsageFigures
from tests.unit.chart.promql import metric_names, scraped_names
from tests.unit.chart.rendering import CHART, Json, Rendered, namespaced, render

DOCS = Path(CHART).parent.parent / "docs/operations"
KINDS = tuple(f"monitoring.coreos.com/v1/{kind}" for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"))


def ours(tmp_path: Path) -> set[str]:
    """Every series that a part of ours tells of."""
    worker, operator = CollectorRegistry(), CollectorRegistry()
    WorkerMetrics(worker, [])
    EngineMetrics(worker, tmp_path / "starts")
    UsageFigures(worker, lambda: 0.0)
    OperatorMetrics(operator)
    operator.register(ServiceMetrics(list))
    texts = [generate_latest(worker), generate_latest(operator), GatewayMetrics().text(), LedgerMetrics().text()]
    return {name for text in texts for name in scraped_names(text.decode()) if not name.endswith("_created")}


def family(name: str) -> str:
    return re.sub("_(bucket|sum|count)$", "", name)


def documented() -> set[str]:
    return set(re.findall(r"^\| `(llmservice_\w+)` \|", (DOCS / "metrics.md").read_text(), re.MULTILINE))


def test_the_table_of_metrics_is_whole(tmp_path: Path) -> None:
    assert documented() == {family(name) for name in ours(tmp_path)}


# -- dashboard


@pytest.mark.parametrize("expression", dashboard.expressions())
def test_a_panel_asks_for_what_there_is(expression: str, tmp_path: Path) -> None:
    names = metric_names(expression)
    assert names
    assert {name for name in names if name.startswith("llmservice_")} <= ours(tmp_path)
    assert all(name.startswith(("llmservice_", "vllm:", "haproxy_")) for name in names)


def test_panels_stand_in_their_rows_and_on_nobody() -> None:
    panels = dashboard.dashboard()["panels"]
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == ["Service", "Lifecycle", "Tenancy"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [cell for panel in panels for cell in _cells(panel["gridPos"])]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def _cells(where: Json) -> Iterator[tuple[int, int]]:
    return ((where["x"] + x, where["y"] + y) for x in range(where["w"]) for y in range(where["h"]))


def test_the_dashboard_is_off_and_found_by_grafanas_sidecar_when_on() -> None:
    assert render().of_kind("ConfigMap") == []
    (found,) = render("dashboards.enabled=true").of_kind("ConfigMap")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["llmservice.json"]) == dashboard.dashboard()


# -- alerts


def rules(*settings: str) -> list[Json]:
    (found,) = alerting(*settings).of_kind("PrometheusRule")
    return [rule for group in found["spec"]["groups"] for rule in group["rules"]]


def alerting(*settings: str) -> Rendered:
    return render("alerts.enabled=true", *settings, api_versions=KINDS)


def test_alerts_come_only_where_they_are_wanted_and_known() -> None:
    assert render("alerts.enabled=true").of_kind("PrometheusRule") == []
    assert render(api_versions=KINDS).of_kind("PrometheusRule") == []
    (found,) = alerting("alerts.labels.release=prometheus").of_kind("PrometheusRule")
    assert found["metadata"]["labels"]["release"] == "prometheus"


def test_every_alert_asks_for_what_there_is(tmp_path: Path) -> None:
    names = {name for rule in rules() for name in metric_names(rule["expr"])}
    assert {name for name in names if name.startswith("llmservice_")} <= ours(tmp_path)
    assert {name for name in names if not name.startswith("llmservice_")} == {
        "haproxy_frontend_http_responses_total",
        "vllm:kv_cache_usage_perc",
        "vllm:num_requests_waiting",
    }


def test_every_alert_has_a_summary_a_severity_and_a_runbook_that_is_there() -> None:
    headings = re.findall("^## (.+)$", (DOCS / "runbooks.md").read_text(), re.MULTILINE)
    found = rules("alerts.runbooks=https://wiki.example.com/runbooks")
    for rule in found:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")
        url, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert url == "https://wiki.example.com/runbooks"
        assert anchor == rule["alert"].lower()
    assert [rule["alert"] for rule in found] == headings


@pytest.mark.parametrize(("value", "bound"), [("10", "> 10"), ("2.5", "> 2.5")])
def test_how_slow_a_first_token_may_be_is_a_value(value: str, bound: str) -> None:
    (rule,) = [rule for rule in rules(f"alerts.firstTokenSeconds={value}") if rule["alert"].endswith("SlowFirstToken")]
    assert rule["expr"].strip().endswith(bound)


def test_the_file_is_a_rules_file_as_prometheus_takes_it() -> None:
    rules_file = yaml.safe_load((Path(CHART) / "files/alerts.yaml").read_text())
    assert rules_file["groups"]
    for group in rules_file["groups"]:
        assert group["rules"]
        assert set(group) == {"name", "rules"}
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


# -- who scrapes engines


def test_engines_are_scraped_at_their_side_port_by_the_labels_that_the_operator_gives() -> None:
    (monitor,) = render("monitoring.enabled=true", api_versions=KINDS).of_kind("PodMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    given = labels("smol", "engine", "smol-abc123") | {"ray.io/node-type": "worker"}
    assert wanted.items() <= given.items()
    assert monitor["spec"]["namespaceSelector"] == {"any": True}
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == "side"
    assert {each["targetLabel"] for each in endpoint["relabelings"]} == {"service", "revision"}
    assert REPLICA_PORT == 8090


def test_only_watched_namespaces_are_scraped() -> None:
    chart = namespaced("a", "b", settings=("monitoring.enabled=true",), api_versions=KINDS)
    (monitor,) = chart.of_kind("PodMonitor")
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["a", "b"]}


def operators(*settings: str) -> Any:
    return operator_settings.from_environment({"LLMSERVICE_NAMESPACE": "n"} | render(*settings).environment("operator"))


def gateways(*settings: str) -> gateway_settings.Settings:
    variables = render(*settings).environment("gateway")
    return gateway_settings.from_environment(variables)


def test_the_namespace_of_prometheus_reaches_the_operator() -> None:
    assert operators().install.monitoring_namespace is None
    assert operators("monitoring.namespace=monitoring").install.monitoring_namespace == "monitoring"


# -- traces


def test_traces_are_off() -> None:
    assert operators().install.tracing_endpoint is None
    assert gateways().tracing_endpoint == ""


@pytest.mark.parametrize(
    ("ratio", "samples"), [("1", 1_000_000), ("0.25", 250_000), ("0", 0), ("0.000001", 1), ("1.0", 1_000_000)]
)
def test_an_endpoint_reaches_operator_and_gateway(ratio: str, samples: int) -> None:
    settings = ("tracing.endpoint=http://otel:4318", f"tracing.sampleRatio={ratio}")
    assert operators(*settings).install.tracing_endpoint == "http://otel:4318"
    assert gateways(*settings).tracing_endpoint == "http://otel:4318"
    assert gateways(*settings).tracing_samples_per_million == samples
