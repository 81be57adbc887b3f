"""Head and worker pods of a revision: restricted, read-only, and fit for the pool."""

import math
from typing import Any, Final

from llmservice_api.base import amount
from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import ModelSpec
from llmservice_api.names import CACHE_ROOT, DASHBOARD_PORT, REPLICA_PORT, SERVE_PORT, WORKER_CONTAINER
from llmservice_operator.resources.fetch import with_fetched_model
from llmservice_operator.resources.worker_args import claim_of
from llmservice_worker.args import MODELS_ROOT

Json = dict[str, Any]

_USER: Final = 65532
_HEAD_CPU: Final = "100m"
_HEAD_MEMORY: Final = "3Gi"
_SHARED_MEMORY_PART: Final = 4
"""One part in so many of a worker's memory may be shared memory, which counts into the pod's limit."""
_MARGIN_S: Final = 15
"""What a pod has beyond its drain to begin and end it."""
_AUTOSCALER_RESOURCES: Final[Json] = {
    "requests": {"cpu": "50m", "memory": "256Mi"},
    "limits": {"memory": "768Mi"},
}
CONTAINER_SECURITY: Final[Json] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_POD_SECURITY: Final[Json] = {
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "runAsGroup": _USER,
    "fsGroup": _USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
_PATIENCE: Final = [
    {"name": f"RAY_AUTOSCALER_RECONCILE_{state}_STATUS_TIMEOUT_S", "value": str(24 * 3600)}
    for state in ("REQUEST", "ALLOCATE")
]
"""Ray's autoscaler counts a pod that fetches its model as not there yet, and gives it up after ten minutes."""
_DO_NOT_DISRUPT: Final = {
    "karpenter.sh/do-not-disrupt": "true",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
}
_ENVIRONMENT: Final = {
    "HOME": "/tmp",
    "HF_HOME": f"{CACHE_ROOT}/huggingface",
    "HF_HUB_OFFLINE": "1",
    # Ray Serve starts its HAProxy anew at each change of replicas; by default the old one cuts its streams after 120 s.
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "86400",
    "RAYLLM_ENABLE_REQUEST_PROMPT_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def head_pod(model: ModelSpec, pool: GPUPoolSpec, labels: dict[str, str]) -> Json:
    """The head: control and autoscaler, no engine; it mounts the model so that a bad source is found early."""
    resources = {
        "requests": {"cpu": _HEAD_CPU, "memory": "1Gi"},
        "limits": {"memory": _HEAD_MEMORY},
    }
    ports = [
        {"containerPort": 6379, "name": "gcs"},
        {"containerPort": DASHBOARD_PORT, "name": "dashboard"},
        {"containerPort": SERVE_PORT, "name": "serve"},
    ]
    # The head asks for no accelerator, but where the pool is tainted it must still stand on its nodes.
    return _pod(model, pool, labels, _container("ray-head", model, pool, resources, ports))


def worker_pod(model: ModelSpec, pool: GPUPoolSpec, tensor_parallel: int, labels: dict[str, str]) -> Json:
    """A worker: one replica of the engine."""
    resources: Json = {
        "requests": {"cpu": pool.worker.cpu, "memory": pool.worker.memory},
        "limits": {"memory": pool.worker.memory},
    }
    if pool.accelerator is not None:
        resources["limits"][pool.accelerator.resource] = str(tensor_parallel)
    ports = [{"containerPort": SERVE_PORT, "name": "serve"}, {"containerPort": REPLICA_PORT, "name": "side"}]
    template = _pod(model, pool, labels, _container(WORKER_CONTAINER, model, pool, resources, ports))
    return with_fetched_model(_with_shared_memory(template, pool), model, pool)


def draining(template: Json, drain_s: int) -> Json:
    """A worker's template whose pod, once it is to go, first finishes what it has begun, up to `drain_s` seconds."""
    container, *others = template["spec"]["containers"]
    command = ["python", "-m", "llmservice_worker.drain", str(drain_s)]
    container = container | {"lifecycle": {"preStop": {"exec": {"command": command}}}}
    grace = {"terminationGracePeriodSeconds": drain_s + _MARGIN_S}
    return template | {"spec": template["spec"] | grace | {"containers": [container, *others]}}


def undisturbed(template: Json) -> Json:
    """A worker's template whose node no autoscaler empties; KubeRay deletes idle workers itself, without eviction."""
    metadata = template["metadata"]
    return template | {"metadata": metadata | {"annotations": metadata.get("annotations", {}) | _DO_NOT_DISRUPT}}


def answering(template: Json) -> Json:
    """A worker's template whose pod is Ready while its engine answers: that is how an engine's death is noticed.

    In place of KubeRay's probe, which starts two processes each time and asks the proxy only.
    """
    container, *others = template["spec"]["containers"]
    asked = {"httpGet": {"path": "/ready", "port": REPLICA_PORT}}
    probe = asked | {"periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 2}
    return template | {"spec": template["spec"] | {"containers": [container | {"readinessProbe": probe}, *others]}}


def autoscaler_options() -> Json:
    """The autoscaler beside the head, as restricted as the other containers."""
    return {"version": "v2", "idleTimeoutSeconds": 60, "securityContext": CONTAINER_SECURITY} | {
        "resources": _AUTOSCALER_RESOURCES,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "env": [{"name": "HOME", "value": "/tmp"}, *_PATIENCE],
    }


def _with_shared_memory(template: Json, pool: GPUPoolSpec) -> Json:
    """Room in /dev/shm for what vLLM's processes, NCCL and Ray exchange; KubeRay would let it be all of the memory."""
    size = f"{math.floor(amount(pool.worker.memory) / _SHARED_MEMORY_PART / 2**20)}Mi"
    spec = template["spec"]
    spec["volumes"].append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    spec["containers"][0]["volumeMounts"].append({"name": "shared-memory", "mountPath": "/dev/shm"})
    return template


def _container(name: str, model: ModelSpec, pool: GPUPoolSpec, resources: Json, ports: list[Json]) -> Json:
    mounts: list[Json] = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "cache", "mountPath": CACHE_ROOT}]
    claim = claim_of(model.source)
    if claim:
        mounts.append({"name": "model", "mountPath": f"{MODELS_ROOT}/{claim}", "readOnly": True})
    environment: list[Json] = [{"name": key, "value": value} for key, value in sorted(_ENVIRONMENT.items())]
    return {
        "name": name,
        "image": pool.image,
        "imagePullPolicy": "IfNotPresent",
        "env": environment,
        "ports": ports,
        "resources": resources,
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": mounts,
    }


def _pod(model: ModelSpec, pool: GPUPoolSpec, labels: dict[str, str], container: Json) -> Json:
    volumes: list[Json] = [{"name": "tmp", "emptyDir": {}}, {"name": "cache", "emptyDir": {}}]
    claim = claim_of(model.source)
    if claim:
        volumes.append({"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    spec: Json = {
        "automountServiceAccountToken": container["name"] == "ray-head",
        "enableServiceLinks": False,
        "securityContext": _POD_SECURITY,
        "containers": [container],
        "volumes": volumes,
    }
    if pool.node_selector:
        spec["nodeSelector"] = dict(pool.node_selector)
    if pool.tolerations:
        spec["tolerations"] = [toleration.to_wire() for toleration in pool.tolerations]
    return {"metadata": {"labels": labels}, "spec": spec}
