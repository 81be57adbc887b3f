"""Who may reach the pods of a service: their own kind, the gateway, the operator, KubeRay, and nobody else."""

from typing import Any, Final

from llmservice_api.names import DASHBOARD_PORT, FETCH_PORT, LABEL_SERVICE, REPLICA_PORT, SERVE_PORT, labels
from llmservice_operator.resources.metadata import owner_reference, sealed

Json = dict[str, Any]

_OURS: Final = (SERVE_PORT, REPLICA_PORT, FETCH_PORT)
_KUBERAYS: Final = (DASHBOARD_PORT, SERVE_PORT)


def make_network_policy(
    service: Json, install_namespace: str, kuberay_namespace: str, monitoring_namespace: str | None = None
) -> Json:
    """Ingress only: Ray's own within the service, Serve and what pods tell from ours, the dashboard from KubeRay."""
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
                    {"from": [{"namespaceSelector": ours}], "ports": _ports(_OURS)},
                    {"from": [{"namespaceSelector": kuberay}], "ports": _ports(_KUBERAYS)},
                    *_scrapers(monitoring_namespace),
                ],
            },
        }
    )


def _scrapers(namespace: str | None) -> list[Json]:
    if namespace is None:
        return []
    theirs = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return [{"from": [{"namespaceSelector": theirs}], "ports": _ports((REPLICA_PORT,))}]


def _ports(numbers: tuple[int, ...]) -> list[Json]:
    return [{"port": number, "protocol": "TCP"} for number in numbers]
