"""What the operator tells Prometheus of each LLMService: its status, read anew at each scrape."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llmservice_operator.observed import instant

Json = dict[str, Any]

_OF: Final = ("namespace", "service")


class ServiceMetrics(Collector):
    """A collector over LLMServices; one without status is told of by its name alone."""

    def __init__(self, services: Callable[[], Iterable[Json]]) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        """Every figure of every service, as the objects are now."""
        found = _families()
        for service in self._services():
            of = (service["metadata"]["namespace"], service["metadata"]["name"])
            _add(found, of, service.get("status") or {})
        return iter(found.values())

    def describe(self) -> Iterator[Metric]:
        """The names alone, for the registry."""
        return iter(_families().values())


def _families() -> dict[str, GaugeMetricFamily]:
    families = (
        ("llmservice_condition", "Conditions: 1 for the status that each has.", "type", "status", "reason"),
        ("llmservice_replicas", "Replicas of an LLMService, by state: desired, running.", "state"),
        ("llmservice_revision", "Revisions of an LLMService, by role: active, pending.", "role", "revision"),
        ("llmservice_scaling_decision_timestamp_seconds", "When replicas were last ordered.", "direction", "reason"),
        ("llmservice_download_bytes", "What of the model's files is here, and what there is in all.", "part"),
        ("llmservice_adapter", "Adapters: 1 for the state that each is in.", "adapter", "state", "reason"),
    )  # fmt: skip
    return {name: GaugeMetricFamily(name, text, labels=[*_OF, *labels]) for name, text, *labels in families}


def _add(found: dict[str, GaugeMetricFamily], of: tuple[str, str], status: Json) -> None:
    for condition in status.get("conditions") or ():
        labels = [*of, condition["type"], condition["status"], condition["reason"]]
        found["llmservice_condition"].add_metric(labels, 1)
    for adapter in status.get("adapters") or ():
        labels = [*of, adapter["name"], adapter["state"], adapter.get("reason") or ""]
        found["llmservice_adapter"].add_metric(labels, 1)
    if decision := status.get("scaling"):
        direction = "up" if decision["toReplicas"] > decision["fromReplicas"] else "down"
        at = instant(decision["at"]).timestamp()
        found["llmservice_scaling_decision_timestamp_seconds"].add_metric([*of, direction, decision["reason"]], at)
    revision, progress = status.get("revision") or {}, status.get("progress") or {}
    for role in ("active", "pending"):
        if revision.get(role):
            found["llmservice_revision"].add_metric([*of, role, revision[role]], 1)
    figures = (
        ("llmservice_replicas", "desired", status.get("desiredReplicas")),
        ("llmservice_replicas", "running", status.get("replicas")),
        ("llmservice_download_bytes", "here", progress.get("bytes")),
        ("llmservice_download_bytes", "total", progress.get("totalBytes")),
    )
    for name, label, value in figures:
        if value is not None:
            found[name].add_metric([*of, label], value)
