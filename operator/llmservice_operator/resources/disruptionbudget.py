"""How many worker pods of a service a drain may take at once."""

from typing import Any

from llmservice_api.names import LABEL_SERVICE, labels
from llmservice_operator.resources.metadata import owner_reference, sealed

Json = dict[str, Any]


def make_disruption_budget(service: Json) -> Json:
    """One pod at a time, so that a node drain goes on also where there is a single replica."""
    name = service["metadata"]["name"]
    return sealed(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {
                "name": name,
                "namespace": service["metadata"]["namespace"],
                "labels": labels(name, "disruption-budget"),
                "ownerReferences": [owner_reference("LLMService", service)],
            },
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {LABEL_SERVICE: name}}},
        }
    )
