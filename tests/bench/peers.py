"""What ours is measured against, each a pod of the same image with the same model, engine arguments and threads."""

import json
from collections.abc import Callable
from typing import Any, Final

from tests.bench.load import Target
from tests.e2e.site import Site

Json = dict[str, Any]

THREADS: Final = 2
MODEL: Final = "bench"
MODEL_PATH: Final = "/models/models/smollm2-135m"
MAX_MODEL_LEN: Final = 2048
READY_TIMEOUT: Final = "300s"
_PORT: Final = 8000
_ENGINE: Final = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "OMP_NUM_THREADS": str(THREADS),
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "TORCHDYNAMO_DISABLE": "1",
}
_AS_RAY_COMES: Final = {
    "RAY_SERVE_ENABLE_HA_PROXY": "0",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "1",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "",
}
"""Takes back what our image sets for Ray Serve; niceness 0 stays, so that all stand alike before the scheduler."""


def vllm_serve(image: str) -> Json:
    """A pod with plain `vllm serve`."""
    command = ["python", "-m", "vllm.entrypoints.openai.api_server", f"--model={MODEL_PATH}"]
    arguments = [
        f"--served-model-name={MODEL}",
        f"--max-model-len={MAX_MODEL_LEN}",
        "--enforce-eager",
        f"--port={_PORT}",
    ]
    return _pod("vllm-serve", image, [*command, *arguments], {}, "/health")


def plain_ray(image: str) -> Json:
    """A pod with a Ray of its own and plain `ray.serve.llm`, one replica; Ray counts CPUs for the ingress too."""
    config = json.dumps(_ray_application())
    script = (
        "ray start --head --num-cpus=4 --object-store-memory=200000000 --disable-usage-stats"
        f" && printf %s '{config}' > /tmp/app.json && serve run --address=auto /tmp/app.json"
    )
    return _pod("plain-ray", image, ["bash", "-c", script], _AS_RAY_COMES, "/v1/models")


def _ray_application() -> Json:
    llm = {
        "model_loading_config": {"model_id": MODEL, "model_source": MODEL_PATH},
        "accelerator_type": None,
        "placement_group_config": {"bundles": [{"CPU": THREADS}], "strategy": "PACK"},
        "deployment_config": {"autoscaling_config": {"min_replicas": 1, "max_replicas": 1}},
        "engine_kwargs": {"max_model_len": MAX_MODEL_LEN, "enforce_eager": True},
    }
    application = {
        "name": "plain",
        "route_prefix": "/",
        "import_path": "ray.serve.llm:build_openai_app",
        "args": {"llm_configs": [llm]},
    }
    return {"http_options": {"host": "0.0.0.0", "port": _PORT}, "applications": [application]}


PEERS: Final[dict[str, Callable[[str], Json]]] = {"vllm": vllm_serve, "ray": plain_ray}


def start(site: Site, room: str, name: str) -> Target:
    """The peer `name` when it is ready."""
    pod = PEERS[name](site.images.worker)
    own_name = pod["metadata"]["name"]
    site.apply(room, pod)
    site.api.kubectl(
        "wait", f"pod/{own_name}", f"--namespace={room}", "--for=condition=Ready", f"--timeout={READY_TIMEOUT}"
    )
    found = site.api.get(f"/api/v1/namespaces/{room}/pods/{own_name}")
    assert found is not None
    return Target(name, f"http://{found['status']['podIP']}:{_PORT}/v1", MODEL)


def stop(site: Site, room: str) -> None:
    """All peers are gone when it returns."""
    pods = [peer("")["metadata"]["name"] for peer in PEERS.values()]
    site.api.kubectl("delete", "pod", *pods, f"--namespace={room}", "--ignore-not-found")


def _pod(name: str, image: str, command: list[str], environment: dict[str, str], ready_path: str) -> Json:
    variables = {"HOME": "/tmp", **_ENGINE, **environment}
    container = {
        "name": "engine",
        "image": image,
        "command": command,
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        # The same weight on the node's CPUs as a worker and its head have.
        "resources": {"requests": {"cpu": "350m", "memory": "4Gi"}, "limits": {"memory": "6Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "readinessProbe": {"httpGet": {"path": ready_path, "port": _PORT}, "periodSeconds": 1, "timeoutSeconds": 5},
        "volumeMounts": [
            {"name": "model", "mountPath": "/models/models", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "cache", "mountPath": "/cache"},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }
    spec = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "model", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "cache", "emptyDir": {}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        ],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
