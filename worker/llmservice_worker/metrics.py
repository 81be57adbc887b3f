"""What a replica tells Prometheus beside vLLM's own figures; names in docs/operations/metrics.md."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from llmservice_worker.access import Access
from llmservice_worker.args import AdapterState

OTHER: Final = "other"
"""What a label says for all that would make too many values of it."""
_MOST_MODELS: Final = 100

_DURATIONS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
_FIRST_TOKENS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80)


class FewNames:
    """Names as values of a label, of which a client can make only so many; any further one is `other`."""

    def __init__(self, most: int = _MOST_MODELS) -> None:
        self._most = most
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        """The label's value for `name`."""
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name


class Metrics:
    """The replica's figures in `registry`; `paths` are the routes that the replica has, any other counts as `other`."""

    def __init__(self, registry: CollectorRegistry, paths: Collection[str]) -> None:
        self._paths = frozenset(paths)
        self._models = FewNames()
        self._requests = Counter(
            "llmservice_requests",
            "Requests that have ended, by path, model, class of the status and outcome.",
            ["path", "model", "status", "outcome"],
            registry=registry,
        )
        self._durations = Histogram(
            "llmservice_request_duration_seconds",
            "From a request's arrival at the replica to its end.",
            ["path"],
            buckets=_DURATIONS,
            registry=registry,
        )
        self._first_tokens = Histogram(
            "llmservice_time_to_first_token_seconds",
            "From a streamed request's arrival at the replica to its first event.",
            ["path"],
            buckets=_FIRST_TOKENS,
            registry=registry,
        )

    def heard(self, access: Access) -> None:
        """Count a request that has ended."""
        path = access.path if access.path in self._paths else OTHER
        status = "none" if access.status is None else f"{access.status // 100}xx"
        self._requests.labels(path, self._models.label(access.model), status, access.outcome).inc()
        self._durations.labels(path).observe(access.duration_ms / 1000)
        if access.ttft_ms is not None:
            self._first_tokens.labels(path).observe(access.ttft_ms / 1000)


class EngineMetrics:
    """How the engine came up: seconds of each phase of its start, and how often one was started in this pod."""

    def __init__(self, registry: CollectorRegistry, starts: Path) -> None:
        """`starts` is a file that lives as long as the pod, since a replica's process may be one of several in it."""
        self.seconds: dict[str, float] = {}
        """Of each phase of the last start."""
        self._file = starts
        self._known = 0
        self._phases = Gauge(
            "llmservice_engine_start_seconds",
            "How long each phase of the engine's start took.",
            ["phase"],
            registry=registry,
        )
        self._starts = Counter(
            "llmservice_engine_starts",
            "Engines started in this pod; every one after the first is a restart.",
            registry=registry,
        )
        self._adapters = Gauge(
            "llmservice_adapters", "Adapters that the replica knows, by state.", ["state"], registry=registry
        )

    def starts(self) -> None:
        """Say that an engine is being started."""
        with self._file.open("ab") as file:
            file.write(b".")
            count = file.tell()
        self._starts.inc(count - self._known)
        self._known = count

    def took(self, phase: str, seconds: float) -> None:
        """Say how long a phase took: `load` (engine and weights) or `warm_up`."""
        self.seconds[phase] = seconds
        self._phases.labels(phase).set(seconds)

    def watch_adapters(self, told: Callable[[], Sequence[Mapping[str, str]]]) -> None:
        """Count the adapters by state at each scrape; `told` is what `/state` says of them."""

        def count(state: str) -> int:
            return sum(adapter["state"] == state for adapter in told())

        for state in get_args(AdapterState):
            self._adapters.labels(state).set_function(partial(count, state))
