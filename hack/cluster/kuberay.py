"""KubeRay: its resource definitions and its own access rules, both as its module ships them."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import binaries, workload
from hack.cluster.api import Api

NAMESPACE = "kuberay-system"
NAME = "kuberay-operator"
SWITCHED_OFF = ("RayCronJob",)
"""Kinds whose controller a feature gate keeps off."""
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
USER = f"system:serviceaccount:{NAMESPACE}:{NAME}"


def install_crds(api: Api) -> None:
    """Server-side apply of all definitions, at once."""
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(api.apply_one, f"{CRDS}/{crd['metadata']['name']}", crd) for crd in crds()]:
            done.result()


def served(api: Api) -> bool:
    """Whether the API answers for the kinds."""
    return all(api.get(f"/apis/ray.io/v1/{plural}?limit=1") for plural in ("rayservices", "rayclusters", "rayjobs"))


def crds() -> list[dict[str, Any]]:
    """The definitions, kept as JSON in the cache because 4 MB of YAML take seconds to read."""
    folder = binaries.folder("kuberay")
    cached = folder / "crds.json"
    if not cached.is_file():
        files = sorted((folder / "config" / "crd" / "bases").glob("*.yaml"))
        objects = [yaml.load(file.read_text(), Loader=yaml.CSafeLoader) for file in files]
        draft = cached.with_suffix(".draft")
        draft.write_text(json.dumps(objects))
        draft.rename(cached)
    return [lean(crd) for crd in json.loads(cached.read_text()) if crd["spec"]["names"]["kind"] not in SWITCHED_OFF]


def lean(crd: dict[str, Any]) -> dict[str, Any]:
    """The definition with its stored version only: the old ones cost the API server 150 MB and seconds."""
    versions = [version for version in crd["spec"]["versions"] if version["storage"]]
    return {**crd, "spec": {**crd["spec"], "versions": versions}}


def rbac() -> list[dict[str, Any]]:
    """Namespace, service account, its ClusterRole (the module's rules) and binding."""
    role = yaml.safe_load((binaries.folder("kuberay") / "config" / "rbac" / "role.yaml").read_text())
    return [
        workload.namespace(NAMESPACE, "restricted"),
        workload.account(NAME, NAMESPACE),
        workload.cluster_role(NAME, role["rules"]),
        workload.cluster_binding(NAME, NAME, workload.account_subject(NAME, NAMESPACE)),
    ]


def deployment(image: str) -> dict[str, Any]:
    """The operator in a pod; one replica needs no election."""
    container = {
        "image": image,
        "args": ["--enable-leader-election=false"],
        "readinessProbe": workload.probe("/healthz", 8082),
        "livenessProbe": workload.probe("/healthz", 8082),
    }
    return workload.deployment(NAME, NAMESPACE, container)


def arguments(kubeconfig: Path, metrics: int, probe: int) -> list[str]:
    """The operator as a process beside the control plane."""
    return [
        f"--kubeconfig={kubeconfig}",
        "--enable-leader-election=false",
        f"--metrics-addr=127.0.0.1:{metrics}",
        f"--health-probe-bind-address=127.0.0.1:{probe}",
    ]


def healthy(port: int) -> bool:
    """Whether the operator's probe answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
