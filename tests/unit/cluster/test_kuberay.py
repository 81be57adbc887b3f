"""KubeRay's definitions and rules."""

from pathlib import Path

from hack.cluster import kuberay, workload


def test_only_the_stored_version_is_kept() -> None:
    versions = [{"name": "v1", "storage": True}, {"name": "v1alpha1", "storage": False}]
    crd = {"kind": "CustomResourceDefinition", "spec": {"group": "ray.io", "versions": versions}}
    assert kuberay.lean(crd)["spec"] == {"group": "ray.io", "versions": versions[:1]}
    assert len(versions) == 2


def test_the_process_listens_on_loopback_only() -> None:
    words = kuberay.arguments(Path("/kubeconfig"), 1, 2)
    assert "--metrics-addr=127.0.0.1:1" in words
    assert "--health-probe-bind-address=127.0.0.1:2" in words


def test_the_process_has_the_rights_of_the_pod() -> None:
    subject = workload.account_subject(kuberay.NAME, kuberay.NAMESPACE)
    assert f"system:serviceaccount:{subject['namespace']}:{subject['name']}" == kuberay.USER
