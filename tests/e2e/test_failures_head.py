"""A head that dies while Ray's cluster state is in Redis: its workers go on, and it comes back by itself."""

import base64
from collections.abc import Iterator

import pytest

from hack import install
from hack.cluster.poll import wait_until
from tests.e2e.faults import ROOM, Service, asking, is_ready, started
from tests.e2e.redis_server import Redis, redis_server
from tests.e2e.site import ASK_AGAIN, READY_SECONDS, Site, llmservice, make_room

NAME = "steady"
SECRET = "ray-redis"
LONG = 200


@pytest.fixture(scope="module")
def redis(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Redis, and an installation that names it."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        named = {"redisAddress": server.address, "passwordSecret": {"name": SECRET}}
        install.install(site.kubeconfig, site.images, site.base_url, values={"gcsFaultTolerance": named})
        try:
            yield server
        finally:
            unnamed = {"redisAddress": "", "passwordSecret": {"name": ""}}
            install.install(site.kubeconfig, site.images, site.base_url, values={"gcsFaultTolerance": unnamed})


@pytest.fixture(scope="module")
def service(site: Site, redis: Redis) -> Iterator[Service]:
    """One replica whose cluster's state is in that Redis; gone afterwards, and its state with it."""
    make_room(site, ROOM)
    data = {"password": base64.b64encode(redis.password.encode()).decode()}
    site.apply(ROOM, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": data})
    site.apply(ROOM, llmservice(NAME, rollout={"drain": "15s"}))
    found = Service(site, NAME)
    found.wait_for_replicas(1)
    assert redis.keys() > 0, "Ray keeps its state there"
    yield found
    site.api.kubectl("delete", "llm", NAME, "--namespace", ROOM)
    wait_until(lambda: redis.keys() == 0, "the state is cleared away", timeout=READY_SECONDS, interval=ASK_AGAIN)


def test_traffic_goes_on_and_the_head_comes_back_to_its_workers(service: Service) -> None:
    (worker,), (head,) = service.pods(), service.pods("head")
    stream = service.stream(LONG)
    started([stream])
    with asking(service.url, service.key) as counted:
        name = head["metadata"]["name"]
        service.site.api.kubectl("delete", "pod", name, "--namespace", ROOM, "--grace-period=0", "--force")
        wait_until(
            lambda: (
                [pod["metadata"]["uid"] != head["metadata"]["uid"] and is_ready(pod) for pod in service.pods("head")]
                == [True]
            ),
            "another head is Ready",
            timeout=READY_SECONDS,
            interval=ASK_AGAIN,
        )
        before = counted.answered
        wait_until(lambda: counted.answered >= before + 3, "answers with the new head", timeout=120, interval=ASK_AGAIN)
        answer = stream.join()
    assert answer.complete, answer
    assert counted.refused == []
    assert before > 0, "requests were answered while there was no head"
    (still,) = service.pods()
    assert still["metadata"]["uid"] == worker["metadata"]["uid"], "the worker pod stayed"
    assert [item["restartCount"] for item in still["status"]["containerStatuses"]] == [0]
    service.wait_for_replicas(1)
