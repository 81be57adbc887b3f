"""The Grafana dashboard: rows of panels as a table here, and the JSON that `make generate` writes of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

ROOT: Final = Path(__file__).parent.parent
PLACE: Final = ROOT / "charts/llmservice/files/dashboards/llmservice.json"
_SOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}
_OF: Final = 'namespace=~"$namespace",service=~"$service"'
_BY: Final = "by (namespace, service)"
_NAMED: Final = "{{namespace}}/{{service}}"
_WIDTH: Final = 24
_HEIGHT: Final = 8


@dataclass(frozen=True)
class Panel:
    """One chart: each query is an expression with its legend. `unit` is Grafana's name of a unit."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


def _rate(metric: str, labels: str = "", by: str = _BY) -> str:
    matchers = f"{_OF},{labels}" if labels else _OF
    return f"sum {by} (rate({metric}{{{matchers}}}[$__rate_interval]))"


def _sum(metric: str) -> str:
    return f"sum {_BY} ({metric}{{{_OF}}})"


def _quantile(metric: str) -> tuple[tuple[str, str], ...]:
    rates = _rate(f"{metric}_bucket", by="by (namespace, service, le)")
    parts = (("0.5", "median"), ("0.95", "95 %"))
    return tuple((f"histogram_quantile({part}, {rates})", f"{_NAMED} {name}") for part, name in parts)


_ALL: Final = _rate("llmservice_requests_total")
_FAILED: Final = _rate("llmservice_requests_total", 'outcome="error"')

ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    (
        "Service",
        (
            Panel("Requests", "reqps", ((_rate("llmservice_requests_total"), _NAMED),)),
            Panel(
                "Errors",
                "percentunit",
                ((f"{_FAILED} / {_ALL}", _NAMED),),
            ),
            Panel("Time to first token", "s", _quantile("llmservice_time_to_first_token_seconds")),
            Panel("Time per output token", "s", _quantile("vllm:request_time_per_output_token_seconds")),
            Panel(
                "Tokens",
                "cps",
                (
                    (_rate("vllm:prompt_tokens_total"), f"{_NAMED} in"),
                    (_rate("vllm:generation_tokens_total"), f"{_NAMED} out"),
                ),
            ),
            Panel("Waiting requests", "short", ((_sum("vllm:num_requests_waiting"), _NAMED),)),
            Panel("Running requests", "short", ((_sum("vllm:num_requests_running"), _NAMED),)),
            Panel("KV cache in use", "percentunit", ((f"max {_BY} (vllm:kv_cache_usage_perc{{{_OF}}})", _NAMED),)),
            Panel(
                "Answers of the gateway, by class of status",
                "reqps",
                (
                    (
                        'sum by (code) (rate(haproxy_frontend_http_responses_total{proxy="public"}[$__rate_interval]))',
                        "{{code}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Lifecycle",
        (
            Panel("Replicas", "short", ((f"llmservice_replicas{{{_OF}}}", f"{_NAMED} {{{{state}}}}"),)),
            Panel(
                "Conditions",
                "short",
                ((f"llmservice_condition{{{_OF}}} == 1", f"{_NAMED} {{{{type}}}}={{{{status}}}} {{{{reason}}}}"),),
                kind="table",
            ),
            Panel(
                "Revisions",
                "short",
                ((f"llmservice_revision{{{_OF}}}", f"{_NAMED} {{{{role}}}} {{{{revision}}}}"),),
                kind="table",
            ),
            Panel(
                "Cold start",
                "s",
                ((f"max by (namespace, service, phase) (llmservice_engine_start_seconds{{{_OF}}})", "{{phase}}"),),
            ),
            Panel(
                "Engine restarts in an hour",
                "short",
                ((f"sum {_BY} (increase(llmservice_engine_starts_total{{{_OF}}}[1h]))", _NAMED),),
            ),
            Panel("Downloads", "bytes", ((f"llmservice_download_bytes{{{_OF}}}", f"{_NAMED} {{{{part}}}}"),)),
            Panel(
                "Adapters in replicas",
                "short",
                ((f"sum by (namespace, service, state) (llmservice_adapters{{{_OF}}})", f"{_NAMED} {{{{state}}}}"),),
            ),
            Panel(
                "Adapters that failed",
                "short",
                ((f'llmservice_adapter{{{_OF},state="Failed"}}', f"{_NAMED} {{{{adapter}}}} {{{{reason}}}}"),),
                kind="table",
            ),
            Panel(
                "Reconciles that failed",
                "ops",
                (
                    (
                        "sum by (kind, error) (rate(llmservice_reconcile_failures_total[$__rate_interval]))",
                        "{{kind}} {{error}}",
                    ),
                ),
            ),
            Panel(
                "Age of what the gateway knows",
                "s",
                (("time() - llmservice_gateway_last_sync_timestamp_seconds", "{{pod}}"),),
            ),
        ),
    ),
    (
        "Tenancy",
        (
            Panel(
                "Requests by namespace",
                "reqps",
                ((_rate("llmservice_requests_total", by="by (namespace)"), "{{namespace}}"),),
            ),
            Panel(
                "Tokens by namespace",
                "cps",
                (
                    (_rate("vllm:prompt_tokens_total", by="by (namespace)"), "{{namespace}} in"),
                    (_rate("vllm:generation_tokens_total", by="by (namespace)"), "{{namespace}} out"),
                ),
            ),
            Panel(
                "Requests by model name",
                "reqps",
                ((_rate("llmservice_requests_total", by="by (namespace, model)"), "{{namespace}}/{{model}}"),),
            ),
            Panel(
                "Refused by the worker",
                "reqps",
                ((_rate("llmservice_requests_total", 'status="4xx"'), _NAMED),),
            ),
            Panel(
                "Refused by the gateway",
                "reqps",
                (
                    (
                        "sum by (namespace, reason) (rate("
                        'llmservice_gateway_refused_total{namespace=~"$namespace|-"}[$__rate_interval]))',
                        "{{namespace}} {{reason}}",
                    ),
                ),
            ),
            Panel("Keys that the gateway knows", "short", (("max(llmservice_gateway_keys)", "keys"),)),
        ),
    ),
)


def dashboard() -> Json:
    """The dashboard as Grafana takes it."""
    panels: list[Json] = []
    top = 0
    for title, row in ROWS:
        panels.append(_row(title, len(panels) + 1, top))
        top += 1
        for index, panel in enumerate(row):
            column, line = index % 3, index // 3
            where = {"x": column * _WIDTH // 3, "y": top + line * _HEIGHT, "w": _WIDTH // 3, "h": _HEIGHT}
            panels.append(_panel(panel, len(panels) + 1, where))
        top += -(-len(row) // 3) * _HEIGHT
    return {
        "uid": "llmservice",
        "title": "llmservice",
        "tags": ["llmservice"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": panels,
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


def expressions() -> list[str]:
    """Every query of every panel."""
    return [expression for _, row in ROWS for panel in row for expression, _ in panel.queries]


def _row(title: str, number: int, top: int) -> Json:
    where = {"x": 0, "y": top, "w": _WIDTH, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": where, "panels": []}


def _panel(panel: Panel, number: int, where: Json) -> Json:
    instant = panel.kind == "table"
    targets = [
        {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
        | ({"instant": True, "format": "table"} if instant else {})
        for index, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": where,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _variables() -> list[Json]:
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        _choice("namespace", "label_values(llmservice_condition, namespace)"),
        _choice("service", 'label_values(llmservice_condition{namespace=~"$namespace"}, service)'),
    ]


def _choice(name: str, query: str) -> Json:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
