"""What a replica counts, and that labels stay few."""

import dataclasses
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from llmservice_worker.access import Access
from llmservice_worker.metrics import EngineMetrics, Metrics

ACCESS = Access(
    request_id="r", key_id="k", route="ns/smol", method="POST", path="/v1/completions", model="smol", status=200,
    duration_ms=1500.0, ttft_ms=None, stream=False, outcome="completed",
)  # fmt: skip


def labels(path: str, model: str, status: str, outcome: str) -> dict[str, str]:
    return {"path": path, "model": model, "status": status, "outcome": outcome}


@pytest.mark.parametrize(
    ("changed", "counted"),
    [
        ({}, labels("/v1/completions", "smol", "2xx", "completed")),
        ({"status": 503, "outcome": "error"}, labels("/v1/completions", "smol", "5xx", "error")),
        ({"status": None, "outcome": "client_left"}, labels("/v1/completions", "smol", "none", "client_left")),
        ({"path": "/etc/passwd", "status": 404, "model": ""}, labels("other", "", "4xx", "completed")),
    ],
)
def test_a_request_is_counted_by_few_labels(changed: dict[str, object], counted: dict[str, str]) -> None:
    registry = CollectorRegistry()
    Metrics(registry, ["/v1/completions"]).heard(dataclasses.replace(ACCESS, **changed))  # type: ignore[arg-type]
    assert registry.get_sample_value("llmservice_requests_total", counted) == 1
    assert registry.get_sample_value("llmservice_request_duration_seconds_sum", {"path": counted["path"]}) == 1.5


def test_only_streams_have_a_time_to_first_token() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, ["/v1/completions"])
    metrics.heard(ACCESS)
    metrics.heard(dataclasses.replace(ACCESS, ttft_ms=250.0, stream=True))
    path = {"path": "/v1/completions"}
    assert registry.get_sample_value("llmservice_time_to_first_token_seconds_count", path) == 1
    assert registry.get_sample_value("llmservice_time_to_first_token_seconds_sum", path) == 0.25


def test_model_names_beyond_a_hundred_are_one() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, ["/v1/completions"])
    for number in range(150):
        metrics.heard(dataclasses.replace(ACCESS, model=f"smol:{number}"))
    (family,) = [family for family in registry.collect() if family.name == "llmservice_requests"]
    values = {sample.labels["model"]: sample.value for sample in family.samples if sample.name.endswith("_total")}
    assert len(values) == 101
    assert values["other"] == 50


def test_starts_are_counted_over_all_processes_of_the_pod(tmp_path: Path) -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    EngineMetrics(first, tmp_path / "starts").starts()
    engine = EngineMetrics(second, tmp_path / "starts")
    engine.starts()
    engine.starts()
    assert first.get_sample_value("llmservice_engine_starts_total") == 1
    assert second.get_sample_value("llmservice_engine_starts_total") == 3


def test_how_long_the_engine_took(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    EngineMetrics(registry, tmp_path / "starts").took("load", 21.5)
    assert registry.get_sample_value("llmservice_engine_start_seconds", {"phase": "load"}) == 21.5


def test_adapters_are_counted_at_each_scrape(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    states = [{"name": "a", "state": "Loading"}, {"name": "b", "state": "Loaded"}]
    EngineMetrics(registry, tmp_path / "starts").watch_adapters(lambda: states)
    states[0] = {"name": "a", "state": "Loaded"}
    found = {
        state: registry.get_sample_value("llmservice_adapters", {"state": state})
        for state in ("Loading", "Loaded", "Failed")
    }
    assert found == {"Loading": 0, "Loaded": 2, "Failed": 0}
