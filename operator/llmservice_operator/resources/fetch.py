"""The init container that brings a model into a worker pod, and the volume that it comes into."""

from typing import Any, Final

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import ModelSpec
from llmservice_api.names import FETCH_CONTAINER, FETCH_PORT
from llmservice_operator.resources.worker_args import is_fetched, source_of
from llmservice_worker.fetch.source import AWS, ENVIRONMENT, MODELS, SECRETS, TOKEN, FetchArgs, protocol

Json = dict[str, Any]

_RESOURCES: Final[Json] = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
_KEYS: Final = {"hf": {"HF_TOKEN": TOKEN}, "s3": {name: name for name in AWS}}
"""Protocol → variable → key of the Secret."""
_CACHE: Final = "models-cache"
_SECRET: Final = "source-credentials"


def fetch_container(model: ModelSpec, pool: GPUPoolSpec, security: Json) -> Json:
    """The init container `fetch`, but for its mounts."""
    args = FetchArgs(source=source_of(model, pool), port=FETCH_PORT)
    told = args.model_dump_json(exclude_defaults=True)
    return {
        "name": FETCH_CONTAINER,
        "image": pool.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "llmservice_worker.fetch"],
        "env": [{"name": ENVIRONMENT, "value": told}, {"name": "HOME", "value": "/tmp"}],
        "ports": [{"containerPort": FETCH_PORT, "name": "progress"}],
        "resources": _RESOURCES,
        "securityContext": security,
    }


def credentials(model: ModelSpec) -> list[Json]:
    """Variables with what the source asks for, from its Secret; each key may be absent."""
    secret = model.credentials_secret_ref
    if secret is None:
        return []
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": key, "optional": True}}}
        for name, key in _keys(model).items()
    ]


def _keys(model: ModelSpec) -> dict[str, str]:
    return _KEYS.get(protocol(model.source), {})


def _secret_volume(model: ModelSpec) -> list[Json]:
    """The keys that the source asks for, as files; the Secret, and each key, may come later."""
    secret, keys = model.credentials_secret_ref, _keys(model)
    if secret is None or not keys:
        return []
    items = [{"key": key, "path": key} for key in keys.values()]
    return [{"name": _SECRET, "secret": {"secretName": secret.name, "optional": True, "items": items}}]


def with_fetched_model(template: Json, model: ModelSpec, pool: GPUPoolSpec) -> Json:
    """A worker's template whose model is fetched before its engine starts; of a mounted model, as it was."""
    if not is_fetched(model.source):
        return template
    spec = template["spec"]
    engine, *others = spec["containers"]
    fetch = fetch_container(model, pool, engine["securityContext"])
    mounts = [mount for mount in engine["volumeMounts"] if mount["name"] in ("tmp", "cache")]
    secret = _secret_volume(model)
    mounts += [{"name": _SECRET, "mountPath": SECRETS, "readOnly": True} for _ in secret]
    volumes = [*spec["volumes"], *secret]
    if model.cache_claim is not None:
        volumes.append({"name": _CACHE, "persistentVolumeClaim": {"claimName": model.cache_claim}})
        mount = {"name": _CACHE, "mountPath": MODELS}
        mounts.append(mount)
        engine = engine | {"volumeMounts": [*engine["volumeMounts"], mount | {"readOnly": True}]}
    parts = {"initContainers": [fetch | {"volumeMounts": mounts}], "containers": [engine, *others], "volumes": volumes}
    return template | {"spec": spec | parts}
