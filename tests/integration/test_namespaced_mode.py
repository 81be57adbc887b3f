"""Operator and gateway with no more than the Roles that the chart renders for named namespaces."""

import asyncio
import json
import secrets
import signal
from collections.abc import Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes
from kubernetes import config

from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from llmservice_gateway.kube import KubernetesSource
from llmservice_gateway.source import KINDS, Inventory
from tests.integration.client import CHILDREN, Client, an_object, eventually
from tests.integration.conftest import INSTALL_NAMESPACE, audited
from tests.integration.operator_process import OperatorProcess
from tests.integration.services import SOURCE
from tests.unit.chart.rendering import NAMESPACE, Rendered, namespaced
from tests.unit.chart.test_namespaced import mounted, started

Json = dict[str, Any]
SOON = 60.0
ACCOUNT = f"system:serviceaccount:{INSTALL_NAMESPACE}:"
GROUPS = ("system:serviceaccounts", f"system:serviceaccounts:{INSTALL_NAMESPACE}")


@pytest.fixture(scope="module")
def rooms(control_plane: ControlPlane, client: Client) -> Iterator[tuple[str, str, str]]:
    """Three namespaces; of them the first two are served, by what the chart renders for them."""
    assert NAMESPACE == INSTALL_NAMESPACE
    names = tuple(f"room-{secrets.token_hex(4)}" for _ in range(3))
    for name in names:
        client.create("namespaces", {"metadata": {"name": name}})
    rights = ("ServiceAccount", "Role", "RoleBinding")
    granted(control_plane, chart_for(names[:2]).of_kind(*rights))
    yield names[0], names[1], names[2]
    for name in names:
        client.delete("namespaces", "", name)


def granted(plane: ControlPlane, rights: list[Json]) -> None:
    """Applies them without asking for the schema of all kinds, which takes long on a busy machine."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": rights})
    plane.kubectl("apply", "--server-side", "--validate=false", "-f", "-", stdin=text)


def chart_for(names: tuple[str, ...]) -> Rendered:
    return namespaced(*names)


def environment(chart: Rendered, folder: Path) -> dict[str, str]:
    """What the chart tells the operator of namespaces and pools."""
    pools = folder / "gpupools.json"
    pools.write_text(mounted(chart, started(chart).pools_file))
    told = chart.environment("operator")
    return {
        "LLMSERVICE_WATCH_NAMESPACES": told["LLMSERVICE_WATCH_NAMESPACES"],
        "LLMSERVICE_POOLS_FILE": str(pools),
        "LLMSERVICE_RELIST_SECONDS": "2",
    }


@pytest.fixture
def asked_before(control_plane: ControlPlane) -> int:
    """Requests of operators before the test's own."""
    return len(audited(control_plane, f"{ACCOUNT}operator"))


@pytest.fixture
def operator(control_plane: ControlPlane, rooms: tuple[str, str, str], tmp_path: Path) -> Iterator[OperatorProcess]:
    settings = environment(chart_for(rooms[:2]), tmp_path)
    found = OperatorProcess(control_plane, tmp_path, f"{ACCOUNT}operator", GROUPS, settings)
    try:
        wait_until(lambda: found.leads and found.is_ready, "it leads and watches", timeout=SOON)
        yield found
    finally:
        found.signalled(signal.SIGTERM)  # so that it gives its Lease up
        found.ended()


def refused(plane: ControlPlane, user: str, since: int = 0) -> list[str]:
    """What of a user's requests, after the first `since`, the API server answered with 401 or 403."""
    entries = [entry for entry in audited(plane, user)[since:] if entry["responseStatus"]["code"] in (401, 403)]
    return [f"{entry['verb']} {entry['requestURI']}" for entry in entries]


def has_children(client: Client, namespace: str) -> bool:
    return all(client.names(plural, namespace) for plural in CHILDREN)


def has_no_engine(client: Client, namespace: str) -> bool:
    return not client.names("rayservices", namespace)


def test_services_of_the_named_namespaces_are_carried_out_and_no_request_is_refused(
    control_plane: ControlPlane,
    client: Client,
    rooms: tuple[str, str, str],
    asked_before: int,
    operator: OperatorProcess,
) -> None:
    for namespace in rooms:
        client.create("llmservices", an_object("LLMService", "m", model=SOURCE), namespace)
        client.create("apikeys", an_object("APIKey", "app"), namespace)
    for namespace in rooms[:2]:
        wait_until(partial(has_children, client, namespace), "it has children", timeout=SOON)
        placed = eventually(client, ("llmservices", namespace, "m"), "Placed", "True", "PoolChosen", SOON)
        assert placed.startswith("pool cpu: ")
        assert "reads no nodes" in placed
        eventually(client, ("apikeys", namespace, "app"), "Ready", "True", "Issued", SOON)
        client.delete("llmservices", namespace, "m")
        wait_until(partial(has_no_engine, client, namespace), "its engine is gone", timeout=SOON)
    for plural in CHILDREN:
        assert client.names(plural, rooms[2]) == []
    for plural, name in (("llmservices", "m"), ("apikeys", "app")):
        assert "status" not in (client.find(plural, rooms[2], name) or {})
    asked = {entry["objectRef"].get("namespace") for entry in operator.entries()}
    assert asked == {*rooms[:2], INSTALL_NAMESPACE}
    assert refused(control_plane, f"{ACCOUNT}operator", asked_before) == []
    assert b'reason="Forbidden"' not in operator.metrics()
    assert operator.process.poll() is None


def relists(operator: OperatorProcess) -> int:
    """How often it listed the release's own namespace."""
    lists = [entry["objectRef"] for entry in operator.entries() if entry["verb"] == "list"]
    return sum((ref["resource"], ref.get("namespace")) == ("llmservices", INSTALL_NAMESPACE) for ref in lists)


def test_a_namespace_whose_role_is_gone_holds_no_other_up(
    control_plane: ControlPlane, client: Client, rooms: tuple[str, str, str], operator: OperatorProcess
) -> None:
    chart = chart_for(rooms[:2])
    (binding,) = [
        each
        for each in chart.of_kind("RoleBinding")
        if each["metadata"]["namespace"] == rooms[1] and each["subjects"][0]["name"] == "operator"
    ]
    control_plane.kubectl("delete", "rolebinding", binding["metadata"]["name"], "--namespace", rooms[1])
    try:
        wait_until(lambda: b'reason="Forbidden"' in operator.metrics(), "a relist is refused", timeout=SOON)
        goal = relists(operator) + 5  # after three that fail liveness would be red
        wait_until(lambda: relists(operator) >= goal, "five relists more", timeout=SOON)
        client.create("llmservices", an_object("LLMService", "n", model=SOURCE), rooms[0])
        wait_until(lambda: has_children(client, rooms[0]), "the other is carried out", timeout=SOON)
        assert operator.is_healthy
        assert refused(control_plane, f"{ACCOUNT}operator")  # and so the audit log would tell
    finally:
        granted(control_plane, [binding])
    client.create("llmservices", an_object("LLMService", "n", model=SOURCE), rooms[1])
    wait_until(lambda: has_children(client, rooms[1]), "and this one after that", timeout=SOON)


async def test_the_gateway_takes_services_and_keys_of_the_named_namespaces(
    control_plane: ControlPlane, client: Client, rooms: tuple[str, str, str]
) -> None:
    for namespace in rooms:
        client.create("llmservices", an_object("LLMService", "g", model=SOURCE), namespace)
    file = control_plane.user(f"{ACCOUNT}gateway", GROUPS)
    inventory, failures = Inventory(), 0

    def failed() -> None:
        nonlocal failures
        failures += 1

    namespaces = (*rooms[:2], INSTALL_NAMESPACE)
    with config.new_client_from_config(str(file)) as api:
        source = KubernetesSource(kubernetes.CustomObjectsApi(api), 300, failed, namespaces=namespaces)
        async with asyncio.timeout(SOON), aclosing(source.events()) as events:  # type: ignore[type-var]
            while not inventory.complete:
                inventory.take(await anext(events))
    served = {name for name in inventory.services if name.endswith("/g")}
    assert served == {f"{namespace}/g" for namespace in rooms[:2]}
    assert inventory.listed == set(KINDS)
    assert (refused(control_plane, f"{ACCOUNT}gateway"), failures) == ([], 0)
