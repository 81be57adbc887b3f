"""Traefik as the default Ingress class, in a pod that owns the node's ports 80 and 443."""

from typing import Any

from hack.cluster import workload

NAME = "traefik"
NAMESPACE = "traefik"
RULES: list[dict[str, Any]] = [
    {"apiGroups": [""], "resources": ["services", "secrets", "nodes"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    {
        "apiGroups": ["networking.k8s.io"],
        "resources": ["ingresses", "ingressclasses"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["update"]},
]


def objects(image: str, address: str) -> list[workload.Object]:
    """Everything of Traefik; `address` is what an Ingress's status shows."""
    container = {
        "image": image,
        "args": [
            "--entrypoints.web.address=:8000",
            "--entrypoints.websecure.address=:8443",
            "--entrypoints.websecure.http.tls=true",
            # On a connection it keeps, Traefik now and then cuts a streamed answer (docs/operations/ingress.md).
            "--entrypoints.web.transport.keepalivemaxrequests=1",
            "--entrypoints.websecure.transport.keepalivemaxrequests=1",
            "--entrypoints.traefik.address=:9000",
            "--ping=true",
            "--providers.kubernetesingress=true",
            "--providers.kubernetesingress.ingressclass=traefik",
            f"--providers.kubernetesingress.ingressendpoint.ip={address}",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
        ],
        "ports": [
            {"name": "web", "containerPort": 8000, "hostPort": 80},
            {"name": "websecure", "containerPort": 8443, "hostPort": 443},
        ],
        "readinessProbe": workload.probe("/ping", 9000),
        "livenessProbe": workload.probe("/ping", 9000),
    }
    subject = workload.account_subject(NAME, NAMESPACE)
    return [
        workload.namespace(NAMESPACE, "privileged"),  # host ports are not allowed below
        workload.account(NAME, NAMESPACE),
        workload.cluster_role(NAME, RULES),
        workload.cluster_binding(NAME, NAME, subject),
        _default_class(),
        workload.deployment(NAME, NAMESPACE, container),
    ]


def _default_class() -> workload.Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": NAME, "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        "spec": {"controller": "traefik.io/ingress-controller"},
    }
