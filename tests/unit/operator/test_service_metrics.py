"""Each LLMService's status as figures."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from llmservice_operator.service_metrics import ServiceMetrics

Json = dict[str, Any]
OF = {"namespace": "team-a", "service": "smol"}


def registry_with(*services: Json) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(ServiceMetrics(lambda: services))
    return registry


def service(**status: Any) -> Json:
    return {"metadata": {"namespace": "team-a", "name": "smol"}, "status": status}


STATUS = {
    "conditions": [{"type": "Ready", "status": "False", "reason": "Loading"}],
    "desiredReplicas": 2,
    "replicas": 0,
    "scaling": {"fromReplicas": 1, "toReplicas": 2, "reason": "Rate", "at": "2026-01-31T12:00:00Z"},
    "revision": {"active": "smol-1", "pending": "smol-2"},
    "progress": {"phase": "Downloading", "bytes": 10, "totalBytes": 40},
    "adapters": [{"name": "tone", "state": "Failed", "reason": "NotFound"}],
}


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("llmservice_condition", {"type": "Ready", "status": "False", "reason": "Loading"}, 1),
        ("llmservice_replicas", {"state": "desired"}, 2),
        ("llmservice_replicas", {"state": "running"}, 0),
        ("llmservice_scaling_decision_timestamp_seconds", {"direction": "up", "reason": "Rate"}, 1769860800),
        ("llmservice_revision", {"role": "active", "revision": "smol-1"}, 1),
        ("llmservice_revision", {"role": "pending", "revision": "smol-2"}, 1),
        ("llmservice_download_bytes", {"part": "here"}, 10),
        ("llmservice_download_bytes", {"part": "total"}, 40),
        ("llmservice_adapter", {"adapter": "tone", "state": "Failed", "reason": "NotFound"}, 1),
    ],
)
def test_status_becomes_figures(name: str, labels: dict[str, str], value: float) -> None:
    assert registry_with(service(**STATUS)).get_sample_value(name, OF | labels) == value


@pytest.mark.parametrize("empty", [{}, {"conditions": None, "revision": None, "progress": None, "adapters": None}])
def test_what_is_not_known_is_no_zero(empty: Json) -> None:
    samples = [sample for family in registry_with(service(**empty)).collect() for sample in family.samples]
    assert samples == []


def test_a_service_that_is_gone_is_told_of_no_more() -> None:
    services = [service(**STATUS)]
    registry = CollectorRegistry()
    registry.register(ServiceMetrics(lambda: services))
    services.clear()
    assert registry.get_sample_value("llmservice_replicas", OF | {"state": "desired"}) is None
