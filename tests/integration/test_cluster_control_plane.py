"""The control plane without nodes: it serves, RBAC guards it, two run side by side, and nothing stays behind."""

import json
from pathlib import Path

import pytest

from hack.cluster import kwok, process
from hack.cluster.api import Api
from hack.cluster.control_plane import ControlPlane, sides
from hack.cluster.failure import ClusterError


def test_serves_guarded_by_rbac_and_leaves_nothing() -> None:
    with ControlPlane(audit=True) as cluster:
        stranger = Api(cluster.user("stranger"))
        cluster.kubectl("create", "configmap", "seen", "--from-literal=a=b")
        with pytest.raises(ClusterError, match="forbidden"):
            stranger.kubectl("get", "configmaps")
        root, records = cluster.layout.root, process.records(cluster.layout.root)
        assert {record.name for record in records} == {"etcd", "kube-apiserver", "kube-controller-manager"}
        assert 403 in _audited(cluster.audit_log, "stranger")
    assert not root.exists()
    assert not any(record.alive for record in records)


def test_two_side_by_side_with_accelerators_that_do_not_exist() -> None:
    with ControlPlane() as other, ControlPlane(kwok=True) as cluster:
        cluster.apply([kwok.node("gpu-0", accelerators={"nvidia.com/gpu": 8})])
        cluster.kubectl("wait", "--for=condition=Ready", "node/gpu-0", "--timeout=30s")
        capacity = cluster.kubectl("get", "node", "gpu-0", "-o", "jsonpath={.status.allocatable}")
        assert json.loads(capacity)["nvidia.com/gpu"] == "8"
        assert other.kubectl("get", "nodes", "-o", "name") == ""


def test_a_start_cleans_what_a_dead_owner_left() -> None:
    orphan = sides() / "4194304-1-00000000"
    left = process.start("sleeper", ["sleep", "600"], orphan)
    with ControlPlane():
        assert not orphan.exists()
        assert not left.alive


def _audited(log: Path, user: str) -> set[int]:
    lines = (json.loads(line) for line in log.read_text().splitlines())
    return {line["responseStatus"]["code"] for line in lines if line["user"]["username"] == user}
