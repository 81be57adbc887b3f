"""What a revision's engine is doing, as its RayService, its pods and the API server tell: pure.

Ordered from the outermost cause inward, so that the first that speaks is the one to mend:
refused writes → refused pods → the engine's own failure → a model that cannot be fetched → pods that cannot run →
still fetching → still starting → up.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from llmservice_api.names import LABEL_REPLICA_PODS, LABEL_REVISION, REPLICA_PORT, SERVE_APPLICATION
from llmservice_api.reasons import Reason
from llmservice_operator.fetching import FAILURES, Fetch, failure, fetch_of
from llmservice_operator.observed import Refused
from llmservice_worker.cause_line import found_in

Json = dict[str, Any]

_POD_NAME: Final = re.compile(r'^pods "[^"]*" is ')
_WAITING_IS_FAILURE: Final = (
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "CrashLoopBackOff",
)


@dataclass(frozen=True)
class EngineState:
    """`up`: Ray Serve runs the application and its proxies are in the Service (no proof of an answer yet)."""

    up: bool
    reason: Reason
    message: str
    model_unreadable: bool = False
    fetch: Fetch | None = None

    @property
    def failed(self) -> bool:
        """Whether waiting alone will not mend it."""
        return not self.up and self.reason not in (Reason.STARTING, Reason.DOWNLOADING)

    @property
    def is_fetching(self) -> bool:
        """Whether a pod fetches the model now: how far it is changes with time alone."""
        return not self.up and self.fetch is not None and self.fetch.is_running

    @property
    def has_no_model(self) -> bool:
        """Whether fetching the model is what is under way, or has failed."""
        return not self.up and (self.reason is Reason.DOWNLOADING or self.reason in FAILURES)


def engine_state(
    ray_service: Json | None,
    clusters: Sequence[Json],
    pods: Sequence[Json],
    refused: Refused | None,
    download: Json | None = None,
) -> EngineState:
    """The state of one revision, with the RayClusters that KubeRay made for it.

    `refused`: what the API server said where it would not take the RayService. `download`: what a pod that fetches the
    model said of it.
    """
    return replace(_state(ray_service, clusters, pods, refused, download), fetch=fetch_of(pods))


def _state(
    ray_service: Json | None,
    clusters: Sequence[Json],
    pods: Sequence[Json],
    refused: Refused | None,
    download: Json | None,
) -> EngineState:
    if refused is not None:
        return _refused_write(refused)
    if ray_service is None:
        return EngineState(False, Reason.STARTING, "the RayService is being created")
    status = ray_service.get("status") or {}
    if _is_serving(status) and not has_no_engine(pods):
        return EngineState(True, Reason.STARTING, "the engine is up and was not asked for a token yet")
    return (
        _refused_pods(clusters)
        or _failed_application(status)
        or _failed_fetch(pods, download)
        or next((state for pod in pods if (state := _failed_pod(pod)) is not None), None)
        or _running_fetch(pods)
        or EngineState(False, Reason.STARTING, _progress(status, pods))
    )


def _refused_write(refused: Refused) -> EngineState:
    if refused.status == 404:
        message = "the cluster has no RayService API: install KubeRay 1.6 or newer, its operator and its CRDs"
        return EngineState(False, Reason.KUBERAY_MISSING, message)
    if refused.status == 409:
        message = f"a RayService of this revision's name exists and is not ours: {refused.message}; rename or delete it"
        return EngineState(False, Reason.CHILD_NOT_OWNED, message)
    return EngineState(False, Reason.WRITE_REFUSED, refused.message)


def of_revision(revision: str, objects: Sequence[Json]) -> list[Json]:
    """The objects that bear one revision's label."""
    return [obj for obj in objects if obj["metadata"].get("labels", {}).get(LABEL_REVISION) == revision]


def ready_replicas(pods: Sequence[Json]) -> int:
    """Replicas of a revision whose worker pods are Ready: one pod each, or as many as the pods' label says."""
    ready = [pod for pod in pods if is_ready_worker(pod)]
    of_one = int(ready[0]["metadata"]["labels"].get(LABEL_REPLICA_PODS, "1")) if ready else 1
    return len(ready) // of_one


def scaling_said(ray_service: Json | None) -> tuple[str, str] | None:
    """Direction (UPSCALING, DOWNSCALING) and message of the change of replicas that Ray Serve makes now."""
    application = _application(((ray_service or {}).get("status") or {}).get("activeServiceStatus"))
    deployments: Mapping[str, Json] = application.get("serveDeploymentStatuses") or {}
    said = [(part.get("status", ""), part.get("message") or "") for part in deployments.values()]
    return next((each for each in said if each[0] in ("UPSCALING", "DOWNSCALING")), None)


def has_no_engine(pods: Sequence[Json]) -> bool:
    """Whether a revision has workers and none of them is Ready; one that sleeps has none."""
    return has_workers(pods) and not ready_replicas(pods)


def has_workers(pods: Sequence[Json]) -> bool:
    """Whether any of the pods is a worker, whatever its state."""
    return any(is_worker(pod) for pod in pods)


def silent_workers(pods: Sequence[Json]) -> tuple[str, ...]:
    """`<ip>:<port>` of the side ports of workers that stay and are not Ready."""
    silent = [pod for pod in pods if is_worker(pod) and not _is_ready(pod) and not _is_going(pod)]
    return tuple(f"{ip}:{REPLICA_PORT}" for pod in silent if (ip := pod.get("status", {}).get("podIP")))


def is_ready_worker(pod: Json) -> bool:
    """Whether it is a worker pod that is Ready."""
    return is_worker(pod) and _is_ready(pod)


def is_worker(pod: Json) -> bool:
    """Whether it is a worker pod, not a head."""
    return bool(pod["metadata"].get("labels", {}).get("ray.io/node-type") == "worker")


def _is_going(pod: Json) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _is_ready(pod: Json) -> bool:
    if _is_going(pod):
        return False
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _is_serving(status: Json) -> bool:
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    return ready and _application(status.get("activeServiceStatus")).get("status") == "RUNNING"


def _application(service_status: Json | None) -> Json:
    applications = (service_status or {}).get("applicationStatuses") or {}
    application: Json = applications.get(SERVE_APPLICATION) or {}
    return application


def _halves(status: Json) -> list[Json]:
    return [status.get("pendingServiceStatus") or {}, status.get("activeServiceStatus") or {}]


def _refused_pods(clusters: Sequence[Json]) -> EngineState | None:
    """KubeRay says it of the RayCluster only: what the RayService repeats of that status has no conditions."""
    for cluster in clusters:
        for condition in (cluster.get("status") or {}).get("conditions", []):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                # Without the pod's name, which is another at each try: each would be a write of status.
                why = _POD_NAME.sub("", _last_line(condition.get("message", "")))
                return EngineState(False, Reason.PODS_REFUSED, f"the API server refuses the engine's pods: {why}")
    return None


def _failed_application(status: Json) -> EngineState | None:
    for half in _halves(status):
        application = _application(half)
        deployments: Mapping[str, Json] = application.get("serveDeploymentStatuses") or {}
        texts = [application.get("message", ""), *(part.get("message", "") for part in deployments.values())]
        cause = next((found for text in texts if (found := found_in(text or ""))), None)
        failing = application.get("status") in ("DEPLOY_FAILED", "UNHEALTHY") or any(
            part.get("status") in ("UNHEALTHY", "DEPLOY_FAILED") for part in deployments.values()
        )
        if cause:
            return EngineState(False, Reason.ENGINE_FAILED, cause, model_unreadable=cause.startswith("model source"))
        if failing:
            message = next((text for text in texts if text), "Ray Serve gives no message")
            return EngineState(False, Reason.ENGINE_FAILED, _last_line(message))
    return None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _failed_fetch(pods: Sequence[Json], download: Json | None) -> EngineState | None:
    fetch, why = fetch_of(pods), failure(download)
    if fetch is None or not fetch.is_running or why is None:
        return None
    return EngineState(False, *why)


def _running_fetch(pods: Sequence[Json]) -> EngineState | None:
    fetch = fetch_of(pods)
    if fetch is None or not fetch.is_running:
        return None
    return EngineState(False, Reason.DOWNLOADING, "the model is being downloaded: status.progress says how far")


def _failed_pod(pod: Json) -> EngineState | None:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return EngineState(False, Reason.UNSCHEDULABLE, f"pod {name}: {condition.get('message', '')}")
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in _WAITING_IS_FAILURE:
            message = waiting.get("message") or _last_exit(container)
            return EngineState(
                False, Reason.POD_FAILED, f"pod {name}, container {container['name']}: {waiting['reason']}: {message}"
            )
    return None


def _last_exit(container: Json) -> str:
    ended = container.get("lastState", {}).get("terminated") or {}
    return f"exit code {ended.get('exitCode')}, {ended.get('reason', 'no reason given')}" if ended else ""


def _progress(status: Json, pods: Sequence[Json]) -> str:
    if not pods:
        return "waiting for KubeRay to create the pods"
    waiting = sorted(pod["metadata"]["name"] for pod in pods if not _is_ready(pod))
    application = next((found for half in _halves(status) if (found := _application(half))), {})
    if application.get("status"):
        return f"Ray Serve: {application['status']}; {len(pods) - len(waiting)} of {len(pods)} pods ready"
    return f"{len(pods) - len(waiting)} of {len(pods)} pods ready"
