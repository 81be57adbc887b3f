"""A model that hibernates: its Ray cluster goes, head included; held requests bring it back and are all answered."""

from collections.abc import Iterator

import pytest

from hack.cluster.poll import wait_until
from tests.e2e.faults import ROOM, Service, asking
from tests.e2e.site import ASK_AGAIN, READY_SECONDS, Site, llmservice, make_room

NAME = "hibernator"
HELD = 3
SCALING = {"minReplicas": 0, "maxReplicas": 1, "downDelay": "5s", "idleAfter": "20s", "hibernateAfter": "10s"}


@pytest.fixture(scope="module")
def service(site: Site) -> Iterator[Service]:
    """One that hibernates after a short time without a request; gone afterwards."""
    make_room(site, ROOM)
    site.apply(ROOM, llmservice(NAME, scaling=SCALING, rollout={"drain": "15s"}, hold={"maxWait": "10m"}))
    found = Service(site, NAME)
    found.wait("Ready", "True")
    yield found
    site.api.kubectl("delete", "llm", NAME, "--namespace", ROOM, "--wait=false")


def test_nothing_but_the_route_is_left_and_held_requests_bring_it_back(service: Service) -> None:
    address = service.status["address"]
    wait_until(lambda: kinds(service) == ROUTE, "only the route is left", timeout=READY_SECONDS, interval=ASK_AGAIN)
    said = service.site.condition(ROOM, NAME, "Ready")
    assert (said["status"], said["reason"]) == ("True", "Hibernated")
    assert service.status["address"] == address
    assert "wakeRequestedAt" not in service.status
    streams = [service.stream(8) for _ in range(HELD)]
    answers = [stream.join() for stream in streams]
    assert all(answer.complete for answer in answers), answers
    with asking(service.url, service.key) as counted:
        wait_until(lambda: counted.answered >= 3, "plain requests are answered too", timeout=60)
    assert counted.refused == []
    found = service.status
    assert (found["address"], found["coldStartSeconds"]["total"] > 0) == (address, True)
    wait_until(lambda: kinds(service) == ROUTE, "it hibernates again", timeout=READY_SECONDS, interval=ASK_AGAIN)


ROUTE = ["NetworkPolicy", "PodDisruptionBudget", "Service"]


def kinds(service: Service) -> list[str]:
    """What there is of it."""
    return sorted(child.split("/")[0] for child in service.site.children(ROOM, NAME))
