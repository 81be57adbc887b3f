"""Faults of engines under load: what clients see, what the operator says, and that it heals. Two replicas."""

import signal
from collections.abc import Iterator

import pytest

from hack.cluster.poll import wait_until
from tests.e2e.faults import ROOM, TWINS, Service, asking, started, twins
from tests.e2e.site import ASK_AGAIN, Site, make_room

LONG = 120
"""Tokens of a stream that is still under way when a fault comes."""


@pytest.fixture(scope="module")
def service(site: Site) -> Iterator[Service]:
    """Two replicas, gone afterwards."""
    make_room(site, ROOM)
    yield twins(site)
    site.api.kubectl("delete", "llm", TWINS, "--namespace", ROOM, "--wait=false")


def test_a_killed_engine_ends_its_streams_with_one_error_and_loses_nothing_else(service: Service) -> None:
    service.wait_for_replicas(2)
    streams = [service.stream(LONG) for _ in range(6)]
    started(streams)
    victim = service.busiest()
    had = service.running(victim)
    with asking(service.url, service.key, threads=2) as counted:
        service.signal_engine(victim, signal.SIGKILL)
        answers = [stream.join() for stream in streams]
        wait_until(lambda: counted.answered >= 4, "requests are answered beside it", timeout=120, interval=ASK_AGAIN)
    hurt = [answer for answer in answers if not answer.complete]
    assert 1 <= len(hurt) <= had < len(answers), "the fault took streams, and the other replica's went on"
    for answer in hurt:
        assert (answer.status, len(answer.errors), answer.broken) == (200, 1, ""), answer
        assert answer.after_error <= 1, "after the error only the end"
    assert counted.refused == []
    service.wait_for_replicas(2)


def test_a_dead_engine_is_said_with_its_reason_and_heals(service: Service) -> None:
    service.wait_for_replicas(2)
    for pod in service.pods():
        service.signal_engine(pod["metadata"]["name"], signal.SIGKILL)
    service.wait("EngineReady", "False", timeout=60)
    status, reason, message = service.condition("EngineReady")
    assert (status, reason) == ("False", "EngineDied")
    assert "died and is being restarted" in message
    assert service.condition("Ready")[:2] == ("False", "EngineDied")
    service.wait_for_replicas(2)
    assert service.condition("EngineReady")[1] == "EngineAnswers"


def test_a_hung_engine_leaves_the_rotation_and_is_replaced(service: Service) -> None:
    service.wait_for_replicas(2)
    streams = [service.stream(LONG) for _ in range(4)]
    started(streams)
    victim = service.busiest()
    had = service.running(victim)
    service.signal_engine(victim, signal.SIGSTOP)
    answers = [stream.join() for stream in streams]
    hurt = [answer for answer in answers if not answer.complete]
    assert 1 <= len(hurt) <= had
    assert [(answer.status, len(answer.errors), answer.broken) for answer in hurt] == [(200, 1, "")] * len(hurt)
    with asking(service.url, service.key) as counted:
        wait_until(lambda: counted.answered >= 5, "the other replica answers", timeout=120, interval=ASK_AGAIN)
    assert counted.refused == []
    service.wait_for_replicas(2)


def test_a_client_that_goes_ends_its_generation(service: Service) -> None:
    service.wait_for_replicas(2)
    stream = service.stream(1500)
    started([stream])
    pod = service.busiest()
    stream.hang_up()
    stream.join()
    wait_until(lambda: service.running(pod) == 0, "the engine has nothing to do", timeout=5)
    assert stream.answer.tokens < 1500
    assert not stream.answer.done
