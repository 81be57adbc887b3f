"""With KubeRay at work, on nodes with accelerators that KWOK plays; and without KubeRay at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.cluster import kuberay, kwok
from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from tests.integration.client import Client, an_object
from tests.integration.conftest import install_ours
from tests.integration.operator_run import operator
from tests.integration.services import SOON, Service

Json = dict[str, Any]
GPU = "nvidia.com/gpu"
TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}


def gpu_node(name: str, product: str, count: int) -> Json:
    """A tainted node with accelerators."""
    return kwok.node(name, accelerators={GPU: count}, labels={f"{GPU}.product": product}, taints=[TAINT])


def gpu_pool(name: str, product: str, per_node: int, price: str) -> Json:
    """The pool of such nodes."""
    return an_object(
        "GPUPool",
        name,
        accelerator={"resource": GPU, "memory": "24Gi", "perNode": per_node, "product": product},
        nodeSelector={f"{GPU}.product": product},
        tolerations=[{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
        image="docker.io/llmservice/worker:cuda",
        pricePerHour=price,
    )


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """With KWOK and KubeRay, two kinds of GPU nodes and one without."""
    with ControlPlane(kwok=True, kuberay=True, audit=True) as found:
        install_ours(found)
        found.apply([kwok.node("plain"), gpu_node("l4-0", "NVIDIA-L4", 4), gpu_node("h100-0", "NVIDIA-H100", 8)])
        found.apply([gpu_pool("l4", "NVIDIA-L4", 4, "2.10"), gpu_pool("h100", "NVIDIA-H100", 8, "9.80")])
        found.kubectl("create", "namespace", "team")
        yield found


def bound_workers(client: Client) -> dict[str, str]:
    """Node of each worker pod that has one, by the pod's revision."""
    return {
        pod["metadata"]["labels"]["llmservice.io/revision"]: pod["spec"]["nodeName"]
        for pod in client.items("pods", "team")
        if pod["metadata"]["labels"].get("ray.io/node-type") == "worker" and "nodeName" in pod["spec"]
    }


def test_workers_are_bound_to_the_right_nodes_and_a_steady_state_writes_nothing(
    plane: ControlPlane, tmp_path: Path
) -> None:
    client = Client(plane.kubeconfig)
    with operator(plane, tmp_path, relist_seconds=1) as running:
        cheap = Service(client, "team", "cheap", engine={"tensorParallel": 2})
        named = Service(client, "team", "named", placement={"pools": ["h100", "l4"]}, engine={"tensorParallel": 8})
        revisions = {service.revision(): node for service, node in ((cheap, "l4-0"), (named, "h100-0"))}
        wait_until(lambda: bound_workers(client) == revisions, "worker pods are bound", timeout=60)
        for pod in client.items("pods", "team"):
            _is_fit(pod, {"cheap": "2", "named": "8"})
        assert cheap.status["placement"]["pool"] == "l4"
        assert named.status["placement"]["pool"] == "h100"
        running.after_relists(3)
        settled = len(running.writes())
        running.after_relists(5)
        assert running.writes()[settled:] == []


def _is_fit(pod: Json, counts: dict[str, str]) -> None:
    """Restricted, on GPU nodes, and with accelerators for a worker only."""
    service = pod["metadata"]["labels"]["llmservice.io/service"]
    spec = pod["spec"]
    assert spec["nodeSelector"] == {f"{GPU}.product": {"cheap": "NVIDIA-L4", "named": "NVIDIA-H100"}[service]}
    assert any(toleration.get("key") == GPU for toleration in spec["tolerations"])
    container = spec["containers"][0]
    worker = pod["metadata"]["labels"]["ray.io/node-type"] == "worker"
    assert container["resources"]["limits"].get(GPU) == (counts[service] if worker else None)
    if worker:
        assert f"--num-gpus={counts[service]}" in " ".join(str(part) for part in container["args"])
    assert spec["securityContext"]["runAsNonRoot"]


def test_a_pool_that_matches_no_node_is_said_before_anything_is_made(plane: ControlPlane, tmp_path: Path) -> None:
    client = Client(plane.kubeconfig)
    client.create("gpupools", gpu_pool("a100", "NVIDIA-A100", 8, "0.10"))
    with operator(plane, tmp_path):
        service = Service(client, "team", "nowhere", placement={"pools": ["a100"]})
        assert "nvidia.com/gpu.product=NVIDIA-A100" in service.says("Placed", "False", "NoNode")
        assert not [name for name in client.names("rayservices", "team") if name.startswith("nowhere")]
        plane.apply([gpu_node("a100-0", "NVIDIA-A100", 8)])
        service.says("Placed", "True", "PoolChosen")


def test_pods_that_the_namespace_refuses_are_said(plane: ControlPlane, tmp_path: Path) -> None:
    client = Client(plane.kubeconfig)
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    client.create("namespaces", {"metadata": {"name": "poor"}})
    client.create("resourcequotas", quota, "poor")
    wait_until(
        lambda: "hard" in (client.find("resourcequotas", "poor", "none") or {}).get("status", {}), "quota", timeout=SOON
    )
    with operator(plane, tmp_path):
        service = Service(client, "poor", "m")
        assert "exceeded quota" in service.says("EngineReady", "False", "PodsRefused", within=60)


def test_without_kuberay_it_is_said_with_an_event_and_its_coming_is_noticed(tmp_path: Path) -> None:
    with ControlPlane(kwok=True, audit=True) as bare:
        install_ours(bare)
        client = Client(bare.kubeconfig)
        client.create("nodes", {"metadata": {"name": "plain"}})
        client.create("gpupools", an_object("GPUPool", "cpu", image="docker.io/llmservice/worker:cpu"))
        with operator(bare, tmp_path, relist_seconds=1) as running:
            service = Service(client, "default", "m")
            assert "install KubeRay" in service.says("EngineReady", "False", "KubeRayMissing")
            warnings = [item for item in client.items("events", "default") if item["type"] == "Warning"]
            assert {"KubeRayMissing"} <= {item["reason"] for item in warnings}
            running.after_relists(3)
            settled = [write for write in running.writes() if "llmservices" in write]
            running.after_relists(3)
            assert [write for write in running.writes() if "llmservices" in write] == settled
            kuberay.install_crds(bare.api)
            service.says("EngineReady", "False", "Starting", within=90)
