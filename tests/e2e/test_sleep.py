"""A model that sleeps: its worker pod goes, requests are held, wake as many as they need, and are all answered."""

from collections.abc import Iterator

import pytest

from hack.cluster.poll import wait_until
from tests.e2e.faults import ROOM, Service, asking
from tests.e2e.site import ASK_AGAIN, READY_SECONDS, Site, llmservice, make_room

NAME = "sleeper"
HELD = 3


@pytest.fixture(scope="module")
def service(site: Site) -> Iterator[Service]:
    """One that sleeps after a few seconds without a request; gone afterwards."""
    make_room(site, ROOM)
    scaling = {"minReplicas": 0, "maxReplicas": 2, "targetQueueDepth": 1, "downDelay": "5s", "idleAfter": "60s"}
    site.apply(ROOM, llmservice(NAME, scaling=scaling, rollout={"drain": "15s"}))
    found = Service(site, NAME)
    found.wait("Ready", "True")
    yield found
    site.api.kubectl("delete", "llm", NAME, "--namespace", ROOM, "--wait=false")


def test_it_sleeps_holds_what_comes_and_answers_all_of_it(service: Service) -> None:
    wait_until(lambda: service.pods() == [], "no worker pod is left", timeout=READY_SECONDS, interval=ASK_AGAIN)
    wait_until(lambda: service.status.get("replicas") == 0, "status says so", timeout=60, interval=ASK_AGAIN)
    assert "wakeRequestedAt" not in service.status
    wait_until(lambda: why(service) == "Idle", "status says why", timeout=READY_SECONDS, interval=ASK_AGAIN)
    streams = [service.stream(8) for _ in range(HELD)]
    answers = [stream.join() for stream in streams]
    assert all(answer.complete for answer in answers), answers
    assert "wakeRequestedAt" in service.status, "the gateway asked for it"
    assert sum(wake["requests"] for wake in service.status["wakes"].values()) == HELD
    service.wait_for_replicas(2)
    assert why(service) == "Woken"
    with asking(service.url, service.key) as counted:
        wait_until(lambda: counted.answered >= 3, "plain requests are answered too", timeout=60)
    assert counted.refused == []


def why(service: Service) -> str | None:
    """The reason of the last decision on replicas."""
    return dict(service.status.get("scaling") or {}).get("reason")
