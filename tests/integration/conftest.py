"""One control plane for all integration tests that want a real API server, and a namespace for each of them."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster import kuberay
from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from tests.integration.client import Client, an_object

ROOT = Path(__file__).parents[2]
INSTALL_NAMESPACE = "llmservice-system"


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd, apiserver, controller-manager, scheduler and KWOK; our CRDs and KubeRay's, but nobody who serves those."""
    with ControlPlane(kwok=True, audit=True) as plane:
        install_ours(plane)
        kuberay.install_crds(plane.api)
        wait_until(lambda: kuberay.served(plane.api), "KubeRay's kinds are served", timeout=30)
        yield plane


@pytest.fixture(scope="session")
def client(control_plane: ControlPlane) -> Client:
    """Requests to that control plane as its admin."""
    return Client(control_plane.kubeconfig)


@pytest.fixture(scope="session")
def cpu_pool(client: Client) -> str:
    """A GPUPool without accelerators, and a node for it; its name."""
    client.create("nodes", {"metadata": {"name": "plain"}})
    client.create("gpupools", an_object("GPUPool", "cpu", image="docker.io/llmservice/worker:cpu"))
    return "cpu"


@pytest.fixture
def namespace(client: Client) -> Iterator[str]:
    """A namespace of the test's own, deleted afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    client.create("namespaces", {"metadata": {"name": name}})
    yield name
    for plural in ("llmservices", "apikeys"):
        for each in client.names(plural, name):
            client.delete(plural, name, each)
    client.delete("namespaces", "", name)


def install_ours(plane: ControlPlane) -> None:
    """Our CRDs by plain server-side apply, and the namespace that the operator is installed in."""
    plane.apply(crds())
    plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": INSTALL_NAMESPACE}}])
    names = [crd["metadata"]["name"] for crd in crds()]
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in names))
    paths = [f"/apis/llmservice.io/v1alpha1/{name.split('.')[0]}" for name in names]
    wait_until(lambda: all(plane.api.get(path) for path in paths), "our kinds are served", timeout=30)
    # kubectl finds kinds by aggregated discovery, which comes a moment after they are served.
    listed = ("api-resources", "--api-group=llmservice.io", "--output=name")
    wait_until(
        lambda: plane.kubectl(*listed).count("llmservice.io") == len(names), "discovered", timeout=60, interval=0.5
    )


def crds() -> list[dict[str, Any]]:
    """Our CRDs as `make generate` wrote them."""
    return [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").glob("*.yaml"))]


def audited(plane: ControlPlane, user: str) -> list[dict[str, Any]]:
    """What the API server has logged of a user's requests."""
    lines = plane.audit_log.read_text().splitlines()
    return [entry for line in lines if user in line and (entry := _entry(line))["user"]["username"] == user]


def _entry(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:  # the last line is still being written
        return {"user": {"username": ""}}
