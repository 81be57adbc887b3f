"""GPUPools: how many nodes bear the pool's labels, and whether that is any."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.names import GPUPOOLS
from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator.cluster import Cluster
from llmservice_operator.conditions import Finding, false, merge, true
from llmservice_operator.execute import write_status
from llmservice_operator.placement import matches
from llmservice_operator.store import Ref, Store

Json = dict[str, Any]


@dataclass
class PoolReporter:
    """What reporting takes: the watched pools and nodes, the API server, a clock."""

    store: Store
    cluster: Cluster
    clock: Callable[[], datetime]

    async def reconcile(self, name: str) -> None:
        """Say in the pool's status what is seen of it; writes only what is new."""
        pool = self.store.get(Ref(GPUPOOLS, "", name))
        if pool is None or "deletionTimestamp" in pool["metadata"]:
            return
        wanted = self._status(pool, pool.get("status") or {})
        await write_status(self.cluster, self.store, GPUPOOLS, pool, wanted)

    def _status(self, pool: Json, before: Json) -> Json:
        labels = [node["metadata"].get("labels", {}) for node in self.store.of_kind("nodes")]
        generation = pool["metadata"]["generation"]
        try:
            spec = GPUPoolSpec.model_validate(pool["spec"])
        except ValidationError as error:
            found, count = false(ConditionType.READY, Reason.INVALID_SPEC, str(error)), 0
        else:
            count = sum(matches(node, spec.node_selector) for node in labels)
            found = finding(spec, count)
        conditions = merge([found], before.get("conditions", []), generation, self.clock())
        return {"observedGeneration": generation, "nodes": count, "conditions": conditions}


def finding(spec: GPUPoolSpec, nodes: int) -> Finding:
    """Whether a replica could run on the pool: on a node that is there, or on one that is added on demand."""
    if nodes:
        return true(ConditionType.READY, Reason.NODES_MATCH, f"{nodes} nodes bear the pool's labels")
    if spec.max_nodes:
        return true(ConditionType.READY, Reason.NODES_ON_DEMAND, f"no node yet; up to {spec.max_nodes} on demand")
    message = "no node bears the labels of spec.nodeSelector: label nodes, correct it, or set spec.maxNodes"
    return false(ConditionType.READY, Reason.NO_NODE, message)
