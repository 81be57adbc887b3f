"""How many workers of a service must stay while a node is drained."""

from typing import Any

from llmservice_api.llmservice import LLMServiceSpec
from llmservice_api.names import LABEL_SERVICE, labels
from llmservice_operator.resources.metadata import owner_reference, sealed
from llmservice_operator.resources.worker_args import bounds, pods_of_a_replica

Json = dict[str, Any]


def make_disruption_budget(service: Json, spec: LLMServiceSpec, wanted: int = 0) -> Json:
    """One worker at a time of those that are wanted; a single replica may go, so that a drain goes on.

    `wanted`: worker pods that Ray's autoscaler wants now, at least those of the fewest replicas. Not those that run:
    each that goes would let the next one go.

    A replica of several pods goes with any of them, so one pod, not one replica's pods, which might be of several.

    `minAvailable`, because `maxUnavailable` asks the pods' controller for a scale, which a RayCluster has not.
    """
    name = service["metadata"]["name"]
    of_a_replica = pods_of_a_replica(spec)
    pods = max(wanted, bounds(spec)[0] * of_a_replica)
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
                "minAvailable": pods - 1 if pods > of_a_replica else 0,
                "selector": {"matchLabels": {LABEL_SERVICE: name, "ray.io/node-type": "worker"}},
            },
        }
    )
