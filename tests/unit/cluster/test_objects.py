"""Objects that a cluster is filled with."""

from typing import Any

from hack.cluster import coredns, kwok, traefik, volumes, workload
from hack.cluster.settings import DNS_ADDRESS


def _one(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(found for found in objects if found["kind"] == kind)


def test_every_deployment_meets_the_restricted_level() -> None:
    pod = workload.deployment("x", "y", {"image": "z"})["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    context = pod["containers"][0]["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_dns_answers_where_the_kubelet_sends_pods() -> None:
    service = _one(coredns.objects("image"), "Service")
    assert service["spec"]["clusterIP"] == DNS_ADDRESS
    assert {port["protocol"] for port in service["spec"]["ports"]} == {"UDP", "TCP"}


def test_traefik_is_the_default_class_and_tells_ingresses_their_address() -> None:
    objects = traefik.objects("image", "10.0.0.7")
    annotations = _one(objects, "IngressClass")["metadata"]["annotations"]
    assert annotations == {"ingressclass.kubernetes.io/is-default-class": "true"}
    container = _one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert "--providers.kubernetesingress.ingressendpoint.ip=10.0.0.7" in container["args"]
    assert [(port["containerPort"], port["hostPort"]) for port in container["ports"]] == [(8000, 80), (8443, 443)]


def test_traefik_keeps_no_client_connection_for_a_second_request() -> None:
    container = _one(traefik.objects("image", "10.0.0.7"), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    for entry_point in ("web", "websecure"):
        assert f"--entrypoints.{entry_point}.transport.keepalivemaxrequests=1" in container["args"]


def test_a_claim_in_each_namespace_shows_the_same_folder() -> None:
    volume, claim = volumes.objects("team-a")
    assert volume["spec"]["claimRef"]["namespace"] == claim["metadata"]["namespace"] == "team-a"
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert volume["spec"]["hostPath"] == volumes.objects("team-b")[0]["spec"]["hostPath"]


def test_a_default_class_is_told_by_its_annotation() -> None:
    standard = {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
    assert volumes.has_default([volumes.storage_class(), standard])
    assert not volumes.has_default([volumes.storage_class(), {"metadata": {"annotations": {}}}])


def test_a_node_has_as_many_accelerators_as_wanted() -> None:
    node = kwok.node("gpu-0", accelerators={"nvidia.com/gpu": 8}, labels={"pool": "a"})
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert node["metadata"]["labels"]["pool"] == "a"
    assert node["metadata"]["annotations"]["kwok.x-k8s.io/node"] == "fake"
