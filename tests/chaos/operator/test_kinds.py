"""A kind is deleted under the operator, objects and all, and is installed again: it goes on where that is."""

import http.client
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from tests.chaos.operator.rig import SOON, Rig, install, rig
from tests.chaos.operator.state import ownerless
from tests.chaos.operator.workloads import SPEC, WORKLOADS, new_namespace, pools
from tests.integration.client import CHILDREN, Client
from tests.integration.services import Service

READY: Final = WORKLOADS["scale"]
"""Prepares a service `m` that is Ready."""
CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.mark.parametrize("kind", ["llmservices.llmservice.io", "rayservices.ray.io"])
def test_a_kind_that_is_deleted_and_comes_back(kind: str, tmp_path: Path) -> None:
    with ControlPlane(audit=True) as plane:
        install(plane)
        pools(Client(plane.kubeconfig))
        with rig(plane, tmp_path) as site:
            site.start()
            namespace = new_namespace(site.client)
            READY.prepare(site.client, namespace)
            site.settle()
            _delete(site.client, kind)
            plural, _, group = kind.partition(".")
            version = "v1alpha1" if plural == "llmservices" else "v1"
            listed = f"/apis/{group}/{version}/{plural}"
            wait_until(lambda: site.client.get(listed) is None, "the kind is gone", timeout=SOON)
            site.settle()
            install(plane)
            if plural == "llmservices":
                wait_until(lambda: ownerless(site.client, namespace) == [], "children went too", timeout=2 * SOON)
                Service(site.client, namespace, **SPEC)
            _converges(site, namespace)


def _delete(client: Client, kind: str) -> None:
    target = urlsplit(client.server)
    connection = http.client.HTTPSConnection(target.hostname or "", target.port, timeout=20, context=client._context)
    connection.request("DELETE", f"{CRDS}/{kind}")
    assert connection.getresponse().status == 200
    connection.close()


def _converges(site: Rig, namespace: str) -> None:
    """By itself or restarted, as kubelet does where it has ended or liveness is red: a watch may not have come back."""
    service = ("llmservices", namespace, "m")

    def is_served() -> bool:
        if not site.operator.is_running:
            site.start()
        found = site.client.find(*service) or {}
        conditions = (found.get("status") or {}).get("conditions", [])
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return ready and all(site.client.names(plural, namespace) for plural in CHILDREN)

    wait_until(is_served, "it is Ready, with all its children", timeout=3 * SOON, log=site.operator.log)
    if not site.operator.is_live:
        site.operator.kill()
        site.start()
    wait_until(lambda: site.operator.is_live, "all its watches live", timeout=SOON)
    assert is_served()
