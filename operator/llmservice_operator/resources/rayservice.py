"""The RayService of a revision."""

import json
from typing import Any, Final

from llmservice_api.base import seconds
from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_api.names import (
    ACCELERATORS_ANNOTATION,
    LABEL_REPLICA_PODS,
    POOL_ANNOTATION,
    SERVE_APPLICATION,
    WORKER_GROUP,
    labels,
    revision,
)
from llmservice_operator.observed import RedisStore
from llmservice_operator.resources.adapters import with_adapters
from llmservice_operator.resources.fetch import with_fetched_model
from llmservice_operator.resources.metadata import owner_reference, sealed
from llmservice_operator.resources.metering import origin, with_metering
from llmservice_operator.resources.pods import (
    answering,
    autoscaler_options,
    draining,
    head_pod,
    undisturbed,
    worker_pod,
)
from llmservice_operator.resources.worker_args import bounds, live_args, pods_of_a_replica, worker_args
from llmservice_worker.application import application

Json = dict[str, Any]

RAY_VERSION: Final = "2.60.0"
_OBJECT_STORE_BYTES: Final = str(200 * 2**20)
_MOST_WORKERS: Final = 1000


def revision_name(
    name: str, spec: LLMServiceSpec, pool: GPUPoolSpec, tracing: str | None = None, ledger: str | None = None
) -> str:
    """The revision that this spec on this pool asks for; bounds, access, endpoint and rollout do not enter.

    Nor do a pod's drain, its marks, prefetching and the store of GCS: KubeRay hands them to no running cluster, so none
    restarts.
    """
    return revision(name, {"cluster": _cluster(spec, pool, {}, ledger), "args": _args(name, spec, pool, tracing)})


def make_ray_service(
    service: Json,
    spec: LLMServiceSpec,
    pool: GPUPoolSpec,
    pool_name: str,
    name: str,
    store: RedisStore | None = None,
    tracing: str | None = None,
    ledger: str | None = None,
    *,
    awake: int = 0,
) -> Json:
    """The RayService `name`: its cluster never changes; only bounds in serveConfigV2 do.

    `tracing` and `ledger` are base URLs; None: no traces, no usage is counted. `awake`: as of bounds.
    """
    metadata = service["metadata"]
    own_labels = labels(metadata["name"], "engine", name)
    args = worker_args(metadata["name"], spec, pool, tracing)
    if ledger is not None:
        args = args.model_copy(update={"origin": origin(service, name)})
    serve = {"applications": [application(SERVE_APPLICATION, args, live_args(spec, awake=awake))]}
    fewest = bounds(spec, awake=awake)[0] * pods_of_a_replica(spec) * _accelerators(spec, pool)
    return sealed(
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayService",
            "metadata": {
                "name": name,
                "namespace": metadata["namespace"],
                "labels": own_labels,
                "annotations": {POOL_ANNOTATION: pool_name, ACCELERATORS_ANNOTATION: str(fewest)},
                "ownerReferences": [owner_reference("LLMService", service)],
            },
            "spec": {
                "excludeHeadPodFromServeSvc": bounds(spec)[0] > 0,
                "upgradeStrategy": {"type": "None"},
                # Canonical, because KubeRay compares it as a string; JSON is YAML.
                "serveConfigV2": json.dumps(serve, sort_keys=True, separators=(",", ":")),
                "rayClusterConfig": _cluster(spec, pool, own_labels, ledger)
                | {"headGroupSpec": _head(spec, pool, own_labels)}
                | {"workerGroupSpecs": [_workers(spec, pool, own_labels, ledger)]}
                | _fault_tolerance(store),
            },
        }
    )


def _args(name: str, spec: LLMServiceSpec, pool: GPUPoolSpec, tracing: str | None) -> Json:
    return worker_args(name, spec, pool, tracing).model_dump(mode="json", exclude_defaults=True)


def _cluster(spec: LLMServiceSpec, pool: GPUPoolSpec, pod_labels: dict[str, str], ledger: str | None) -> Json:
    return {
        "rayVersion": RAY_VERSION,
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": autoscaler_options(),
        "headGroupSpec": _head_template(spec, pool, pod_labels),
        "workerGroupSpecs": [_worker_template(spec, pool, pod_labels, ledger)],
    }


def _head(spec: LLMServiceSpec, pool: GPUPoolSpec, pod_labels: dict[str, str]) -> Json:
    """It comes up once the model is in the claim, where that is wanted: until then nobody asks for a worker."""
    group = _head_template(spec, pool, pod_labels)
    if not spec.model.prefetch:
        return group
    return group | {"template": with_fetched_model(group["template"], spec.model, pool)}


def _head_template(spec: LLMServiceSpec, pool: GPUPoolSpec, pod_labels: dict[str, str]) -> Json:
    start = {"num-cpus": "0", "object-store-memory": _OBJECT_STORE_BYTES, "dashboard-host": "0.0.0.0"}
    return {"rayStartParams": start, "template": head_pod(spec.model, pool, pod_labels)}


def _workers(spec: LLMServiceSpec, pool: GPUPoolSpec, pod_labels: dict[str, str], ledger: str | None) -> Json:
    # KubeRay passes changed counts on to no running cluster: the group is wide open, Ray Serve keeps the bounds and
    # Ray's autoscaler follows. `replicas` only spares the first worker the wait for the autoscaler.
    first = 0 if spec.model.prefetch else bounds(spec)[0] * pods_of_a_replica(spec)
    counts = {"replicas": first, "minReplicas": 0, "maxReplicas": _most_workers(spec, pool)}
    group = _worker_template(spec, pool, pod_labels, ledger) | counts
    template = undisturbed(draining(group["template"], seconds(spec.rollout.drain)))
    # Of several pods of a replica only one has the side port.
    return group | {"template": template if pods_of_a_replica(spec) > 1 else answering(template)}


def _fault_tolerance(store: RedisStore | None) -> Json:
    """Ray's cluster state in Redis, so that a head that comes back knows it; each cluster under its own uid there."""
    if store is None:
        return {}
    options: Json = {"redisAddress": store.address}
    if store.secret is not None:
        options["redisPassword"] = {"valueFrom": {"secretKeyRef": {"name": store.secret, "key": store.secret_key}}}
    return {"gcsFaultToleranceOptions": options}


def _most_workers(spec: LLMServiceSpec, pool: GPUPoolSpec) -> int:
    """Workers that the pool's nodes hold by its own words: maxNodes, each with as many as its accelerators allow."""
    if not pool.max_nodes:
        return _MOST_WORKERS
    per_node = pool.accelerator.per_node // (spec.engine.tensor_parallel or 1) if pool.accelerator else 1
    return min(pool.max_nodes * max(per_node, 1), _MOST_WORKERS)


def _worker_template(spec: LLMServiceSpec, pool: GPUPoolSpec, pod_labels: dict[str, str], ledger: str | None) -> Json:
    start = {"num-cpus": str(pool.worker.threads), "object-store-memory": _OBJECT_STORE_BYTES}
    if pool.accelerator is not None:
        start["num-gpus"] = str(_accelerators(spec, pool))
    count = pods_of_a_replica(spec)
    if count > 1:
        pod_labels = pod_labels | {LABEL_REPLICA_PODS: str(count)}
    return {
        "groupName": WORKER_GROUP,
        "rayStartParams": start,
        "template": with_metering(
            with_adapters(worker_pod(spec.model, pool, spec.engine.tensor_parallel or 1, pod_labels), spec), ledger
        ),
    }


def _accelerators(spec: LLMServiceSpec, pool: GPUPoolSpec) -> int:
    """Of one worker; a CPU pool has none."""
    return (spec.engine.tensor_parallel or 1) if pool.accelerator is not None else 0
