"""A model that sleeps: its worker pod goes, requests are held, wake it, and are all answered."""

import json
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
    scaling = {"minReplicas": 0, "maxReplicas": 1, "downDelay": "5s", "idleAfter": "20s"}
    site.apply(ROOM, llmservice(NAME, scaling=scaling, rollout={"drain": "15s"}))
    found = Service(site, NAME)
    found.wait("Ready", "True")
    yield found
    site.api.kubectl("delete", "llm", NAME, "--namespace", ROOM, "--wait=false")


def test_it_sleeps_holds_what_comes_and_answers_all_of_it(service: Service) -> None:
    wait_until(lambda: service.pods() == [], "no worker pod is left", timeout=READY_SECONDS, interval=ASK_AGAIN)
    wait_until(lambda: status(service).get("replicas") == 0, "status says so", timeout=60, interval=ASK_AGAIN)
    assert "wakeRequestedAt" not in status(service)
    streams = [service.stream(8) for _ in range(HELD)]
    answers = [stream.join() for stream in streams]
    assert all(answer.complete for answer in answers), answers
    assert "wakeRequestedAt" in status(service), "the gateway asked for it"
    with asking(service.url, service.key) as counted:
        wait_until(lambda: counted.answered >= 3, "plain requests are answered too", timeout=60)
    assert counted.refused == []


def status(service: Service) -> dict[str, object]:
    found = service.site.service(ROOM, NAME)
    assert found is not None
    return dict(json.loads(json.dumps(found["status"])))
