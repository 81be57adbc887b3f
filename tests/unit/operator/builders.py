"""Objects as the API server holds them."""

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.names import (
    ACCELERATORS_ANNOTATION,
    API_VERSION,
    LABEL_REPLICA_PODS,
    LABEL_REVISION,
    LABEL_SERVICE,
    LLMSERVICES,
    POOL_ANNOTATION,
    labels,
)
from llmservice_operator.observed import Install, rfc3339
from llmservice_operator.resources.metadata import owner_reference
from llmservice_operator.store import Ref

Json = dict[str, Any]

NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
INSTALL = Install("llmservice-system", "http://gateway.llmservice-system.svc", "https://llm.example.com")
CPU_IMAGE = "docker.io/llmservice/worker:cpu"
GPU_IMAGE = "docker.io/llmservice/worker:cuda"


class AService:
    """An LLMService: `AService("m").spec(replicas=2).build()`."""

    def __init__(self, name: str = "m", namespace: str = "team-a") -> None:
        self._obj: Json = {
            "apiVersion": API_VERSION,
            "kind": "LLMService",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-{name}",
                "generation": 1,
                "resourceVersion": "1",
            },
            "spec": {"model": {"source": "hf://org/model", "revision": "abc"}},
        }

    def spec(self, **fields: Any) -> Self:
        """Set parts of the spec; None takes one away."""
        for key, value in fields.items():
            if value is None:
                self._obj["spec"].pop(key, None)
            else:
                self._obj["spec"][key] = value
        return self

    def model(self, **fields: Any) -> Self:
        """Set parts of spec.model."""
        self._obj["spec"]["model"] |= fields
        return self

    def metadata(self, **fields: Any) -> Self:
        """Set parts of metadata."""
        self._obj["metadata"] |= fields
        return self

    def status(self, **fields: Any) -> Self:
        """Set parts of the status."""
        self._obj.setdefault("status", {}).update(fields)
        return self

    def build(self) -> Json:
        """The object."""
        return copy.deepcopy(self._obj)


class APool:
    """A GPUPool's spec: `APool().gpu(per_node=4).build()`."""

    def __init__(self) -> None:
        self._spec: Json = {"image": CPU_IMAGE, "worker": {"cpu": "2", "memory": "6Gi", "threads": 2}}

    def gpu(self, per_node: int = 1, product: str = "NVIDIA-L4") -> Self:
        """A pool of tainted GPU nodes."""
        accelerator = {"resource": "nvidia.com/gpu", "memory": "24Gi", "perNode": per_node, "product": product}
        return self.having(
            accelerator=accelerator,
            image=GPU_IMAGE,
            nodeSelector={"nvidia.com/gpu.product": product},
            tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        )

    def having(self, **fields: Any) -> Self:
        """Set parts of the spec, by their names on the wire."""
        self._spec |= fields
        return self

    def wire(self) -> Json:
        """The spec as the API server holds it."""
        return copy.deepcopy(self._spec)

    def build(self) -> GPUPoolSpec:
        """The spec."""
        return GPUPoolSpec.model_validate(self._spec)


def an_api_key(name: str = "app", **spec: Any) -> Json:
    """An APIKey that nobody has looked at yet."""
    metadata = {"name": name, "namespace": "team-a", "uid": f"uid-{name}", "generation": 1, "resourceVersion": "1"}
    return {"apiVersion": API_VERSION, "kind": "APIKey", "metadata": metadata, "spec": spec}


def a_node(name: str = "n", **node_labels: str) -> Json:
    """A node; `__` in a label's name stands for `/` and `_` for `.`."""
    found = {key.replace("__", "/").replace("_", "."): value for key, value in node_labels.items()}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": f"uid-{name}", "labels": found}}


class AnEngine:
    """The status of a RayService as KubeRay writes it."""

    def __init__(self) -> None:
        self._half: Json = {}
        self._refusal = ""
        self._workers = 0
        self._ready = False
        self._active = False

    def application(self, state: str, message: str = "", **deployments: str) -> Self:
        """The Serve application's state; `deployments`: engine="UNHEALTHY: message"."""
        parts = {}
        for name, text in deployments.items():
            deployment, _, said = text.partition(": ")
            parts[name] = {"status": deployment, "message": said}
        application = {"status": state, "message": message, "serveDeploymentStatuses": parts}
        self._half["applicationStatuses"] = {"llm": application}
        return self

    def running(self) -> Self:
        """Up: the application runs and proxies are in the Service."""
        self._ready = self._active = True
        return self.application("RUNNING")

    def workers(self, wanted: int) -> Self:
        """Worker pods that Ray's autoscaler wants."""
        self._workers = wanted
        return self

    def refused_pods(self, message: str) -> Self:
        """The API server does not take the pods."""
        self._refusal = message
        return self

    def cluster(self, revision: str) -> Json:
        """The RayCluster that KubeRay made, where it says what it says of pods."""
        condition = {"type": "ReplicaFailure", "status": "True", "message": self._refusal}
        conditions = [condition] if self._refusal else []
        metadata = {"name": f"{revision}-x", "labels": {LABEL_REVISION: revision}}
        return {"metadata": metadata, "status": {"conditions": conditions, "desiredWorkerReplicas": self._workers}}

    def build(self) -> Json:
        """The status."""
        half = "activeServiceStatus" if self._active else "pendingServiceStatus"
        ready = {"type": "Ready", "status": "True" if self._ready else "False"}
        return {"conditions": [ready], half: copy.deepcopy(self._half)}


class APod:
    """A pod of a revision."""

    def __init__(self, revision: str, kind: str = "worker", name: str = "") -> None:
        service = revision.rpartition("-")[0]
        found = labels(service, "engine", revision) | {"ray.io/node-type": kind}
        metadata = {"name": name or f"{revision}-{kind}", "namespace": "team-a", "uid": f"pod-{name}{kind}"}
        self._obj: Json = {"metadata": metadata | {"labels": found}, "status": {}}

    def ready(self) -> Self:
        """Its containers are ready."""
        self._obj["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        return self

    def came_up(self, created: int = 0, restarts: int = 0) -> Self:
        """Created so many seconds after noon, on a node 3 s, its engine's container running 60 s, Ready 100 s later."""

        def when(seconds: int) -> str:
            return rfc3339(NOON + timedelta(seconds=created + seconds))

        self._obj["metadata"]["creationTimestamp"] = when(0)
        conditions = [("PodScheduled", when(3)), ("Ready", when(100))]
        self._obj["status"] |= {
            "conditions": [{"type": kind, "status": "True", "lastTransitionTime": since} for kind, since in conditions],
            "containerStatuses": [
                {"name": "ray-worker", "restartCount": restarts, "state": {"running": {"startedAt": when(60)}}}
            ],
        }
        return self

    def at(self, ip: str) -> Self:
        """It has an address."""
        self._obj["status"]["podIP"] = ip
        return self

    def of_a_replica(self, pods: int) -> Self:
        """It shares a replica with others: so many in all."""
        self._obj["metadata"]["labels"][LABEL_REPLICA_PODS] = str(pods)
        return self

    def terminating(self) -> Self:
        """It is being deleted."""
        self._obj["metadata"]["deletionTimestamp"] = rfc3339(NOON)
        return self

    def unschedulable(self, message: str, since: datetime = NOON) -> Self:
        """No node takes it."""
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        condition["lastTransitionTime"] = rfc3339(since)
        self._obj["status"]["conditions"] = [condition]
        return self

    def waiting(self, reason: str, message: str = "", exit_code: int | None = None, init: bool = False) -> Self:
        """Its container waits; `exit_code`: of the run before."""
        container: Json = {"name": "ray-worker", "state": {"waiting": {"reason": reason, "message": message}}}
        if exit_code is not None:
            container["lastState"] = {"terminated": {"exitCode": exit_code, "reason": "Error"}}
        self._obj["status"]["initContainerStatuses" if init else "containerStatuses"] = [container]
        return self

    def fetching(self, ip: str = "10.0.0.7") -> Self:
        """Its init container fetches the model."""
        return self._fetch({"running": {}}, ip)

    def fetch_failed(self) -> Self:
        """Its init container ended, which it does only where it is told nonsense."""
        return self._fetch({"terminated": {"exitCode": 2, "message": ""}})

    def fetched(self, digest: str = "sha256:ab", size: int = 7) -> Self:
        """The model is there."""
        said = json.dumps({"digest": digest, "bytes": size})
        return self._fetch({"terminated": {"exitCode": 0, "message": said}})

    def _fetch(self, state: Json, ip: str = "10.0.0.7") -> Self:
        container = {"name": "fetch", "state": state}
        self._obj["status"] |= {"initContainerStatuses": [container], "podIP": ip}
        return self

    def build(self) -> Json:
        """The pod."""
        return copy.deepcopy(self._obj)


def foreign(plural: str, obj: Json) -> Json:
    """The same object as somebody else made it: no owner of ours."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in ("ownerReferences", "annotations")}
    return {**obj, "metadata": metadata | {"uid": f"foreign-{plural}"}}


def a_claim(revision: str, pool: str, *, each: int = 1, least: int = 1, created: int = 0) -> Json:
    """A RayService of the LLMService that the revision is named after, on a pool; made so many seconds after noon."""
    made = child(AService(revision.rpartition("-")[0]).build(), revision)
    start = {"num-gpus": str(each)} if each else {}
    made["spec"] = {"rayClusterConfig": {"workerGroupSpecs": [{"rayStartParams": start}]}}
    made["metadata"]["annotations"] = {POOL_ANNOTATION: pool, ACCELERATORS_ANNOTATION: str(least)}
    made["metadata"]["creationTimestamp"] = rfc3339(NOON + timedelta(seconds=created))
    return made


def a_cluster(revision: str, workers: int) -> Json:
    """The RayCluster of a revision, whose autoscaler wants so many workers."""
    made = child(AService(revision.rpartition("-")[0]).build(), f"{revision}-x")
    made["metadata"]["labels"][LABEL_REVISION] = revision
    return made | {"status": {"desiredWorkerReplicas": workers}}


def child(service: Json, name: str, **spec: Any) -> Json:
    """A labelled object that the service owns."""
    owner = service["metadata"]
    metadata = {
        "name": name,
        "namespace": owner["namespace"],
        "uid": f"uid-{name}",
        "labels": {LABEL_SERVICE: owner["name"]},
        "ownerReferences": [owner_reference("LLMService", service)],
    }
    return {"metadata": metadata, "spec": spec}


def service_ref(name: str = "m", namespace: str = "team-a") -> Ref:
    """Where an LLMService stands in the store."""
    return Ref(LLMSERVICES, namespace, name)
