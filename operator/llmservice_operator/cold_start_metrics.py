"""Cold starts as Prometheus sees them: a histogram for each phase, by pool."""

from typing import Any, Final

from prometheus_client import CollectorRegistry, Histogram

Json = dict[str, Any]

_BUCKETS: Final = (1, 2, 5, 10, 20, 40, 60, 90, 120, 180, 300, 600, 1200, 2400)


class ColdStarts:
    """Counts each cold start that status comes to tell of: what it told before, another process has counted."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "llmservice_cold_start_seconds",
            "From the creation of a replica's pod to Ready, by phase: node, image, weights, engine, warmUp, total.",
            ["pool", "phase"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def written(self, before: Json, after: Json) -> None:
        """Count what the status `after` tells beyond `before`."""
        if after.get("lastColdStart") == before.get("lastColdStart"):
            return
        pool = (after.get("placement") or {}).get("pool", "")
        for phase, seconds in (after.get("coldStartSeconds") or {}).items():
            self._seconds.labels(pool, phase).observe(seconds)
