"""The Ingress of a service with a host of its own.

It stands in the gateway's namespace: an Ingress can only name a Service of its own namespace, and traffic must pass
the gateway. So it has labels in place of an owner, and the operator removes it (docs/decisions/0051).
"""

from typing import Any

from llmservice_api.llmservice import Endpoint
from llmservice_api.names import GATEWAY_SERVICE, LABEL_NAMESPACE, content_hash, labels
from llmservice_operator.resources.metadata import sealed

Json = dict[str, Any]


def ingress_name(host: str) -> str:
    """The Ingress's name, one for each host, so that two services cannot both have it."""
    return f"host-{content_hash(host, 16)}"


def make_ingress(namespace: str, service: str, endpoint: Endpoint, install_namespace: str) -> Json:
    """An Ingress for all paths of the host, leading to the gateway; no annotation of any one controller."""
    path = {
        "path": "/",
        "pathType": "Prefix",
        "backend": {"service": {"name": GATEWAY_SERVICE, "port": {"name": "http"}}},
    }
    spec: Json = {"rules": [{"host": endpoint.host, "http": {"paths": [path]}}]}
    if endpoint.ingress_class_name:
        spec["ingressClassName"] = endpoint.ingress_class_name
    if endpoint.tls_secret_name:
        spec["tls"] = [{"hosts": [endpoint.host], "secretName": endpoint.tls_secret_name}]
    return sealed(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": ingress_name(endpoint.host),
                "namespace": install_namespace,
                "labels": labels(service, "ingress") | {LABEL_NAMESPACE: namespace},
            },
            "spec": spec,
        }
    )
