"""How many workers of a service must stay while a node is drained."""

from typing import Any

from llmservice_api.llmservice import LLMServiceSpec
from llmservice_api.names import LABEL_SERVICE, labels
from llmservice_operator.resources.metadata import owner_reference, sealed
from llmservice_operator.resources.worker_args import bounds, pods_of_a_replica

Json = dict[str, Any]


def make_disruption_budget(service: Json, spec: LLMServiceSpec) -> Json:
    """One worker at a time below the fewest replicas; a single replica may go, so that a drain goes on.

    A replica of several pods goes with any of them, so one pod, not one replica's pods, which might be of several.

    `minAvailable`, because `maxUnavailable` asks the pods' controller for a scale, which a RayCluster has not.
    """
    name = service["metadata"]["name"]
    least = bounds(spec)[0]
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
            "spec": {
                "minAvailable": least * pods_of_a_replica(spec) - 1 if least > 1 else 0,
                "selector": {"matchLabels": {LABEL_SERVICE: name, "ray.io/node-type": "worker"}},
            },
        }
    )
