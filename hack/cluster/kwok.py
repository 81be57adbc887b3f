"""KWOK: nodes that exist only in the API, with as many accelerators as a test wants."""

from collections.abc import Mapping
from typing import Any

from hack.cluster import workload

USER = "kwok-controller"
ANNOTATION = "kwok.x-k8s.io/node"


def rbac() -> list[dict[str, Any]]:
    """What KWOK needs to play kubelets."""
    everything = ["get", "list", "watch", "create", "update", "patch", "delete"]
    rules = [
        {"apiGroups": [""], "resources": ["nodes", "nodes/status", "pods", "pods/status"], "verbs": everything},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch", "update"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": everything},
    ]
    return [
        workload.cluster_role(USER, rules),
        workload.cluster_binding(USER, USER, workload.user_subject(USER)),
    ]


def node(
    name: str,
    *,
    accelerators: Mapping[str, int] | None = None,
    labels: Mapping[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    cpu: str = "64",
    memory: str = "512Gi",
) -> dict[str, Any]:
    """A node for `apply`; `accelerators` such as {"nvidia.com/gpu": 8}."""
    counts = {resource: str(count) for resource, count in (accelerators or {}).items()}
    capacity = {"cpu": cpu, "memory": memory, "pods": "110", **counts}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION: "fake", "node.alpha.kubernetes.io/ttl": "0"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "type": "kwok",
                **(labels or {}),
            },
        },
        "spec": {"taints": taints or []},
        "status": {"allocatable": capacity, "capacity": capacity},
    }
