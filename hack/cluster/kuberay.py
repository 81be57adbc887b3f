"""KubeRay: its resource definitions and its own access rules, both as its module ships them."""

import http.client
import json
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import binaries
from hack.cluster.api import Api

NAMESPACE = "kuberay-system"
NAME = "kuberay-operator"
USER = f"system:serviceaccount:{NAMESPACE}:{NAME}"


def install_crds(api: Api) -> None:
    """Server-side apply of all definitions."""
    api.apply(crds())


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
    return list(json.loads(cached.read_text()))


def rbac() -> list[dict[str, Any]]:
    """Namespace, service account, its ClusterRole (the module's rules) and binding."""
    group = "rbac.authorization.k8s.io"
    role = yaml.safe_load((binaries.folder("kuberay") / "config" / "rbac" / "role.yaml").read_text())
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NAMESPACE}},
        {**role, "metadata": {"name": NAME}},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
    ]


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
