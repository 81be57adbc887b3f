"""More requests than a model takes: those admitted are all answered, the rest is refused at once, with a wait."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.faults import ROOM, Service, chat
from tests.e2e.site import Site, llmservice, make_room

NARROW = "narrow"
BATCH = 2
QUEUE = 2
BURST = 24


@pytest.fixture(scope="module")
def service(site: Site) -> Iterator[Service]:
    """One replica that takes two requests at once and lets two wait."""
    make_room(site, ROOM)
    engine = {"maxModelLen": 2048, "args": {"enforceEager": True, "maxNumSeqs": BATCH}}
    site.apply(ROOM, llmservice(NARROW, engine=engine, hold={"maxRequests": QUEUE}))
    found = Service(site, NARROW)
    found.wait_for_replicas(1)
    yield found
    site.api.kubectl("delete", "llm", NARROW, "--namespace", ROOM, "--wait=false")


def test_a_burst_is_admitted_up_to_the_bound_and_refused_beyond_it(service: Service) -> None:
    answers: list[tuple[httpx.Response, float]] = []
    gate = threading.Barrier(BURST)

    def ask() -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {service.key}"}, timeout=300) as client:
            gate.wait()
            begun = time.monotonic()
            response = client.post(f"{service.url}/chat/completions", json=chat(service.url, 24, stream=False))
            answers.append((response, time.monotonic() - begun))

    threads = [threading.Thread(target=ask) for _ in range(BURST)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    admitted = [took for response, took in answers if response.status_code == 200]
    refused = [(response, took) for response, took in answers if response.status_code != 200]
    assert len(admitted) + len(refused) == BURST
    assert BATCH + QUEUE <= len(admitted) <= BATCH + QUEUE + 1, "one may have ended before the last one came"
    for response, _ in refused:
        assert response.status_code == 503, response.text
        assert int(response.headers["retry-after"]) >= 1
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert max(took for _, took in refused) < max(admitted), "nobody waits for a refusal"
