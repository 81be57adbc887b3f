"""The Service of a revision: the address that the gateway routes to."""

from typing import Any

from llmservice_api.names import LABEL_REVISION, LABEL_SERVICE, SERVE_PORT, labels
from llmservice_operator.resources.metadata import owner_reference, sealed

Json = dict[str, Any]


def make_service(service: Json, revision: str) -> Json:
    """A ClusterIP Service that selects the revision's pods whose Serve proxy is healthy (`ray.io/serve`)."""
    name = service["metadata"]["name"]
    return sealed(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": revision,
                "namespace": service["metadata"]["namespace"],
                "labels": labels(name, "endpoint", revision),
                "ownerReferences": [owner_reference("LLMService", service)],
            },
            "spec": {
                "type": "ClusterIP",
                "selector": {LABEL_SERVICE: name, LABEL_REVISION: revision, "ray.io/serve": "true"},
                "ports": [{"name": "http", "port": SERVE_PORT, "targetPort": SERVE_PORT, "protocol": "TCP"}],
            },
        }
    )
