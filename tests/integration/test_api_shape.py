"""How our kinds look through kubectl: samples, explain, scale, columns, categories."""

import json
from pathlib import Path

import pytest

from hack.cluster.control_plane import ControlPlane
from hack.cluster.failure import ClusterError
from tests.integration.conftest import ROOT, crds

SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))
SERVICE = {
    "apiVersion": "llmservice.io/v1alpha1",
    "kind": "LLMService",
    "metadata": {"name": "m"},
    "spec": {"model": {"source": "hf://org/model"}},
}


def made(plane: ControlPlane, namespace: str, **spec: object) -> None:
    """The LLMService `m`."""
    body = SERVICE | {"spec": {"model": {"source": "hf://org/model"}} | spec}
    plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(body))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda file: file.name)
def test_a_sample_is_taken(sample: Path, namespace: str, control_plane: ControlPlane) -> None:
    control_plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", str(sample))


def test_crds_by_plain_apply_which_keeps_them_in_an_annotation(control_plane: ControlPlane) -> None:
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        control_plane.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(file))


@pytest.mark.parametrize("crd", crds(), ids=lambda crd: crd["metadata"]["name"])
def test_a_crd_is_established_without_a_complaint(crd: dict[str, object], control_plane: ControlPlane) -> None:
    name = crd["metadata"]["name"]  # type: ignore[index]
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    found = control_plane.api.get(path)
    conditions = {item["type"]: item["status"] for item in found["status"]["conditions"]}  # type: ignore[index]
    assert conditions["Established"] == conditions["NamesAccepted"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def test_kubectl_apply_of_a_typo_names_the_field(namespace: str, control_plane: ControlPlane) -> None:
    with pytest.raises(ClusterError, match=r'unknown field "spec\.replica"'):
        made(control_plane, namespace, replica=1)


EXPLAINED = [
    ("llmservices.spec.model.source", "Where the weights are"),
    ("llm.spec.engine.args.maxNumSeqs", "Most sequences in one batch."),
    ("llm.status.address", "for the gateway"),
    ("gpupools.spec.accelerator.memory", "Memory of one accelerator"),
    ("apikeys.spec.expiresAt", "Instant from which the key is refused."),
    ("llmkey.spec.rotation.overlap", "How long the key before stays valid"),
    ("bud.spec.window", "by UTC's calendar"),
]


@pytest.mark.parametrize(("field", "text"), EXPLAINED)
def test_kubectl_explains(field: str, text: str, control_plane: ControlPlane) -> None:
    assert text in " ".join(control_plane.kubectl("explain", field).split())


def test_kubectl_scales_a_fixed_count(namespace: str, control_plane: ControlPlane) -> None:
    made(control_plane, namespace)
    control_plane.kubectl("scale", "llm/m", "--replicas=3", "-n", namespace)
    assert control_plane.kubectl("get", "llm", "m", "-n", namespace, "-o", "jsonpath={.spec.replicas}") == "3"
    with pytest.raises(ClusterError, match=r"spec\.replicas"):
        control_plane.kubectl("scale", "llm/m", "--replicas=1001", "-n", namespace)


def test_kubectl_does_not_scale_what_scales_itself(namespace: str, control_plane: ControlPlane) -> None:
    made(control_plane, namespace, scaling={"maxReplicas": 2})
    with pytest.raises(ClusterError, match="replicas and scaling exclude each other"):
        control_plane.kubectl("scale", "llm/m", "--replicas=3", "-n", namespace)


def test_columns(namespace: str, control_plane: ControlPlane) -> None:
    made(control_plane, namespace)
    status = {
        "url": "https://h/ns/m/v1",
        "model": {"name": "m"},
        "replicas": 1,
        "desiredReplicas": 2,
        "scaling": {"fromReplicas": 1, "toReplicas": 2, "reason": "Rate", "message": "x", "at": "2026-01-31T12:00:00Z"},
        "placement": {"pool": "l4", "reason": "x"},
        "revision": {"active": "m-abc123"},
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "Loading",
                "message": "",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }
    patch = json.dumps({"status": status})
    words = ("-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
    control_plane.kubectl("patch", "llm", "m", *words)
    head, row = control_plane.kubectl("get", "llm", "-n", namespace).splitlines()
    assert head.split() == ["NAME", "MODEL", "READY", "REASON", "REPLICAS", "DESIRED", "POOL", "URL", "AGE"]
    assert row.split()[:-1] == ["m", "m", "False", "Loading", "1", "2", "l4", "https://h/ns/m/v1"]
    head, row = control_plane.kubectl("get", "llm", "-n", namespace, "-o", "wide").splitlines()
    assert {"SCALED", "REVISION"} < set(head.split())
    assert {"Rate", "m-abc123"} < set(row.split())


def test_categories(namespace: str, control_plane: ControlPlane) -> None:
    made(control_plane, namespace)
    for category in ("all", "ai"):
        assert "llmservice.llmservice.io/m" in control_plane.kubectl("get", category, "-n", namespace, "-o", "name")


def test_defaults_stand_in_what_is_stored(namespace: str, control_plane: ControlPlane) -> None:
    made(control_plane, namespace)
    spec = json.loads(control_plane.kubectl("get", "llm", "m", "-n", namespace, "-o", "json"))["spec"]
    assert spec["rollout"] == {"strategy": "BlueGreen", "progressDeadline": "30m", "drain": "5m"}
    assert spec["access"] == {"mode": "Keys"}
    assert "replicas" not in spec


def test_a_field_set_nulled_and_set_again(namespace: str, control_plane: ControlPlane) -> None:
    for replicas, stored in ((2, "2"), (None, ""), (3, "3")):
        made(control_plane, namespace, replicas=replicas)
        assert control_plane.kubectl("get", "llm", "m", "-n", namespace, "-o", "jsonpath={.spec.replicas}") == stored
