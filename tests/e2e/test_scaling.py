"""A queue brings a second replica, and status says why; a smaller most takes it away, whose streams end whole."""

from collections.abc import Iterator
from typing import Any

import pytest

from hack.cluster.poll import wait_until
from tests.e2e.faults import ROOM, Answer, Service, Stream, started
from tests.e2e.site import ASK_AGAIN, READY_SECONDS, Site, llmservice, make_room

NAME = "scaler"
CROWD = 6
TOKENS = 300


@pytest.fixture(scope="module")
def service(site: Site) -> Iterator[Service]:
    """One or two replicas, each for one request; gone afterwards."""
    make_room(site, ROOM)
    site.apply(ROOM, bounded(2))
    found = Service(site, NAME)
    found.wait("Ready", "True")
    yield found
    site.api.kubectl("delete", "llm", NAME, "--namespace", ROOM, "--wait=false")


def test_a_queue_orders_a_replica_and_a_smaller_most_lets_its_streams_end(service: Service) -> None:
    streams = [service.stream(TOKENS) for _ in range(CROWD)]
    wait_until(lambda: decision(service).get("toReplicas") == 2, "two are ordered", timeout=120, interval=ASK_AGAIN)
    told = decision(service)
    assert (told["fromReplicas"], told["reason"]) in ((1, "QueueDepth"), (1, "Rate"))
    assert told["message"].startswith("up to 2: ")
    service.wait_for_replicas(2)
    assert broken(streams) == []

    both: list[Stream] = []

    def has_both() -> bool:
        both.extend(service.stream(TOKENS) for _ in range(2))
        started(both)
        return all(service.running(pod["metadata"]["name"]) > 0 for pod in service.pods())

    wait_until(has_both, "both have streams", timeout=120, interval=ASK_AGAIN)
    service.site.apply(ROOM, bounded(1))
    assert broken(both) == []
    wait_until(lambda: len(service.pods()) == 1, "one is gone", timeout=READY_SECONDS, interval=ASK_AGAIN)
    wait_until(lambda: decision(service).get("reason") == "Bounds", "status says why", timeout=60, interval=ASK_AGAIN)


def broken(streams: list[Stream]) -> list[Answer]:
    """Those that did not end as they should."""
    return [answer for stream in streams if not (answer := stream.join()).complete]


def bounded(most: int) -> dict[str, Any]:
    scaling = {"minReplicas": 1, "maxReplicas": most, "targetQueueDepth": 1, "downDelay": "5s"}
    return llmservice(NAME, scaling=scaling, rollout={"drain": "5m"})


def decision(service: Service) -> dict[str, Any]:
    """The last one, as status tells it."""
    return dict(service.status.get("scaling") or {})
