"""Who may reach the pods of a service: their own kind, the gateway, the operator, KubeRay, and nobody else."""

from typing import Any

from llmservice_api.names import DASHBOARD_PORT, LABEL_SERVICE, SERVE_PORT, labels
from llmservice_operator.resources.metadata import owner_reference, sealed

Json = dict[str, Any]


def make_network_policy(service: Json, install_namespace: str, kuberay_namespace: str) -> Json:
    """Ingress only: Ray's own traffic within the service, Serve from our namespace, the dashboard from KubeRay."""
    name = service["metadata"]["name"]
    ours = {"matchLabels": {"kubernetes.io/metadata.name": install_namespace}}
    # By its namespace: a pod's labels are anybody's, and the dashboard takes jobs.
    kuberay = {"matchLabels": {"kubernetes.io/metadata.name": kuberay_namespace}}
    return sealed(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {
                "name": name,
                "namespace": service["metadata"]["namespace"],
                "labels": labels(name, "network-policy"),
                "ownerReferences": [owner_reference("LLMService", service)],
            },
            "spec": {
                "podSelector": {"matchLabels": {LABEL_SERVICE: name}},
                "policyTypes": ["Ingress"],
                "ingress": [
                    {"from": [{"podSelector": {"matchLabels": {LABEL_SERVICE: name}}}]},
                    {"from": [{"namespaceSelector": ours}], "ports": [{"port": SERVE_PORT, "protocol": "TCP"}]},
                    {
                        "from": [{"namespaceSelector": kuberay}],
                        "ports": [
                            {"port": DASHBOARD_PORT, "protocol": "TCP"},
                            {"port": SERVE_PORT, "protocol": "TCP"},
                        ],
                    },
                ],
            },
        }
    )
