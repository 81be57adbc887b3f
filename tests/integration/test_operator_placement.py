"""Pools on a real API server with a real scheduler: what does not fit, pools that are full, nodes that do not come."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from tests.integration.client import Client, an_object
from tests.integration.operator_run import Running, operator
from tests.integration.services import SOON, Service

Json = dict[str, Any]

pytestmark = pytest.mark.usefixtures("pools", "running")


@pytest.fixture(scope="module")
def pools(client: Client) -> Iterator[None]:
    """Pools whose nodes would come on demand, but do not."""
    names = ("spot", "dear", "tiny", "narrow", "single")
    for name in names:
        accelerator = {"memory": "24Gi", "perNode": 4 if name in ("spot", "dear") else 1}
        spec = {"accelerator": accelerator, "nodeSelector": {"pool": name}, "maxNodes": 1, "pricePerHour": "2.00"}
        client.create("gpupools", an_object("GPUPool", name, image="docker.io/llmservice/worker:cuda", **spec))
    yield
    for name in names:
        client.delete("gpupools", "", name)


@pytest.fixture(scope="module")
def running(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with operator(control_plane, tmp_path_factory.mktemp("operator")) as found:
        yield found


def a_worker(client: Client, namespace: str, revision: str, pool: str) -> str:
    """KubeRay's part: a worker pod of a revision, which the scheduler finds no node for."""
    labels = {
        "llmservice.io/service": revision[:-7],
        "llmservice.io/revision": revision,
        "ray.io/node-type": "worker",
    }
    spec = {"containers": [{"name": "ray-worker", "image": "none"}], "nodeSelector": {"pool": pool}}
    client.create("pods", {"metadata": {"name": f"{revision}-w", "labels": labels}, "spec": spec}, namespace)
    return f"{revision}-w"


def placement(service: Service) -> Json:
    return dict(service.status.get("placement") or {})


def reason_of(service: Service) -> str:
    """Of its condition Placed."""
    conditions = service.status.get("conditions") or []
    return next((str(each["reason"]) for each in conditions if each["type"] == "Placed"), "")


def test_what_does_not_fit_is_said_with_numbers_and_nothing_is_made(client: Client, namespace: str) -> None:
    service = Service(client, namespace, engine={"memory": "150Gi"}, placement={"pools": ["spot"]})
    said = service.says("Placed", "False", "DoesNotFit")
    assert "needs 8×24Gi (18.8Gi each of weights, cache and overhead); pool spot has 4×24Gi a node" in said
    assert service.revisions == []
    service.edit(engine={"memory": "70Gi"})
    service.says("Placed", "True", "PoolChosen")
    service.revision()
    found = placement(service)
    assert (found["pool"], found["accelerators"], found["memory"]) == ("spot", 4, "17.5Gi")
    assert found["costPerHour"] == "2.00"


def test_a_pool_without_a_node_is_left_for_the_next(client: Client, namespace: str) -> None:
    service = Service(client, namespace, placement={"pools": ["spot", "dear"], "fallbackAfter": "2s"})
    first = service.revision()
    waiting = a_worker(client, namespace, first, "spot")
    wait_until(lambda: placement(service).get("pool") == "dear", "the next pool is tried", timeout=SOON)
    (passed,) = placement(service)["passedOver"]
    assert (passed["pool"], passed["times"]) == ("spot", 1)
    second = service.revision(beside=first)
    wait_until(lambda: service.revisions == [second], "the first revision is gone", timeout=SOON)
    client.delete("pods", namespace, waiting)
    service.comes_up(second)
    service.says("Ready", "True", "Serving")
    assert placement(service)["pool"] == "dear"


def test_a_pool_ends_at_max_nodes_for_all_services_together(client: Client, namespace: str) -> None:
    first = Service(client, namespace, placement={"pools": ["tiny"]})
    first.revision()
    second = Service(client, namespace, name="n", placement={"pools": ["tiny"]})
    said = second.says("Placed", "False", "PoolFull")
    assert "pool tiny has 1 accelerators (spec.maxNodes 1 of 1), other services take 1 of them" in said
    assert second.revisions == []
    client.delete(*first.ref)
    second.says("Placed", "True", "PoolChosen", within=60)
    second.revision()


def test_of_many_applied_in_one_moment_one_has_the_pool_and_the_others_hold_nothing(
    client: Client, namespace: str
) -> None:
    with ThreadPoolExecutor() as pool:
        services = list(
            pool.map(lambda name: Service(client, namespace, name=name, placement={"pools": ["narrow"]}), "abcdefgh")
        )

    def that_are_placed() -> list[Service]:
        said = [(service, reason_of(service)) for service in services]
        placed = [service for service, reason in said if reason == "PoolChosen"]
        return placed if len(placed) == 1 and {reason for _, reason in said} == {"PoolChosen", "PoolFull"} else []

    (chosen,) = wait_until(that_are_placed, "one has it", timeout=SOON)
    kept = wait_until(lambda: chosen.revisions, "it is made", timeout=SOON)
    held = {service.ref[2]: service.revisions for service in services}
    assert held == {service.ref[2]: kept if service is chosen else [] for service in services}


def test_where_two_do_not_fit_the_old_revision_goes_first_and_why_is_said(client: Client, namespace: str) -> None:
    service = Service(client, namespace, placement={"pools": ["single"]})
    old = service.revision()
    service.comes_up(old)
    service.says("Ready", "True", "Serving")
    service.edit(engine={"maxModelLen": 2048})
    new = service.revision(beside=old)
    assert service.revisions == [new]
    said = service.says("Progressing", "True", "RollingOut")
    assert "in place of the one before, since there is no room for two (pool single has 1 accelerators" in said
    service.comes_up(new)
    service.says("Ready", "True", "Serving")
