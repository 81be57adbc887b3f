"""Pods that go under load: evicted, scaled in, and the head, whose cluster state is in Redis or is not."""

import json
from collections.abc import Iterator

import pytest

from hack.cluster.poll import wait_until
from tests.e2e.faults import ROOM, TWINS, Service, asking, started, twins
from tests.e2e.site import ASK_AGAIN, READY_SECONDS, Site, make_room

LONG = 120


@pytest.fixture(scope="module")
def service(site: Site) -> Iterator[Service]:
    """Two replicas, gone afterwards."""
    make_room(site, ROOM)
    yield twins(site)
    site.api.kubectl("delete", "llm", TWINS, "--namespace", ROOM, "--wait=false")


def evict(service: Service, pod: str) -> None:
    """As a node's drain does it, with the disruption budget in force."""
    path = f"/api/v1/namespaces/{ROOM}/pods/{pod}/eviction"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": ROOM}}
    service.site.api.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


def is_gone(service: Service, pod: str) -> bool:
    """Whether a pod is not there any more."""
    return service.site.api.get(f"/api/v1/namespaces/{ROOM}/pods/{pod}") is None


def test_an_evicted_pod_finishes_its_streams_and_loses_nothing(service: Service) -> None:
    service.wait_for_replicas(2)
    streams = [service.stream(LONG) for _ in range(4)]
    started(streams)
    victim = service.busiest()
    with asking(service.url, service.key) as counted:
        evict(service, victim)
        answers = [stream.join() for stream in streams]
        wait_until(lambda: is_gone(service, victim), "the pod is gone", timeout=READY_SECONDS, interval=ASK_AGAIN)
    assert [answer.complete for answer in answers] == [True] * 4, answers
    assert counted.refused == []
    assert counted.answered > 0
    service.wait_for_replicas(2)


def test_scale_in_finishes_its_streams_and_loses_nothing(service: Service) -> None:
    service.wait_for_replicas(2)
    streams = [service.stream(LONG) for _ in range(4)]
    started(streams)
    service.busiest()
    with asking(service.url, service.key) as counted:
        service.site.api.kubectl("scale", "llm", TWINS, "--namespace", ROOM, "--replicas=1")
        answers = [stream.join() for stream in streams]
        wait_until(lambda: len(service.pods()) == 1, "one worker is left", timeout=READY_SECONDS, interval=ASK_AGAIN)
    assert [answer.complete for answer in answers] == [True] * 4, answers
    assert counted.refused == []
    assert counted.answered > 0
    service.wait_for_replicas(1)


def test_traffic_goes_on_while_the_head_is_away_and_it_comes_back(service: Service) -> None:
    """Without Redis: streams end as they should, and the service is Ready again by itself."""
    service.wait_for_replicas(1)
    stream = service.stream(LONG)
    started([stream])
    (head,) = service.pods("head")
    name = head["metadata"]["name"]
    service.site.api.kubectl("delete", "pod", name, "--namespace", ROOM, "--wait=false")
    answer = stream.join()
    wait_until(lambda: is_gone(service, name), "the head is gone", timeout=120, interval=ASK_AGAIN)
    assert answer.complete, answer
    wait_until(
        lambda: [pod["metadata"]["name"] != name for pod in service.pods("head")] == [True],
        "another head",
        timeout=120,
        interval=ASK_AGAIN,
    )
    with asking(service.url, service.key) as counted:
        wait_until(lambda: counted.answered >= 2, "it answers again", timeout=READY_SECONDS, interval=ASK_AGAIN)
    service.wait_for_replicas(1)
