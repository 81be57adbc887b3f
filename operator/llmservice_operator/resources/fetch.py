"""The init container that brings a model into a worker pod, and the volume that it comes into."""

from collections.abc import Iterable
from typing import Any, Final

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import ModelSpec
from llmservice_api.names import FETCH_CONTAINER, FETCH_PORT
from llmservice_operator.resources.worker_args import is_fetched, source_of
from llmservice_worker.fetch.source import AWS, ENVIRONMENT, MODELS, SECRETS, TOKEN, FetchArgs, protocol

Json = dict[str, Any]

_RESOURCES: Final[Json] = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
_KEYS: Final = {"hf": (TOKEN,), "s3": AWS}
"""Protocol → keys of the Secret."""
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


def secret_volume(name: str, model: ModelSpec, sources: Iterable[str]) -> list[Json]:
    """The keys of the model's Secret that `sources` are asked with, as files; the Secret, and each key, may come later.

    Files and no variables: a corrected key reaches a container that runs, and no code of a model's finds them unasked.
    """
    asked = {protocol(source) for source in sources}
    keys = [key for by, theirs in _KEYS.items() if by in asked for key in theirs]
    secret = model.credentials_secret_ref
    if secret is None or not keys:
        return []
    items = [{"key": key, "path": key} for key in keys]
    return [{"name": name, "secret": {"secretName": secret.name, "optional": True, "items": items}}]


def secret_mounts(volumes: Iterable[Json]) -> list[Json]:
    """Where a container finds the files of `secret_volume`."""
    return [{"name": volume["name"], "mountPath": SECRETS, "readOnly": True} for volume in volumes]


def with_fetched_model(template: Json, model: ModelSpec, pool: GPUPoolSpec) -> Json:
    """A pod's template whose model is fetched before its containers start; of a mounted model, as it was."""
    if not is_fetched(model.source):
        return template
    spec = template["spec"]
    engine, *others = spec["containers"]
    fetch = fetch_container(model, pool, engine["securityContext"])
    mounts = [mount for mount in engine["volumeMounts"] if mount["name"] in ("tmp", "cache")]
    secret = secret_volume(_SECRET, model, [model.source])
    mounts += secret_mounts(secret)
    volumes = [*spec["volumes"], *secret]
    if model.cache_claim is not None:
        volumes.append({"name": _CACHE, "persistentVolumeClaim": {"claimName": model.cache_claim}})
        mount = {"name": _CACHE, "mountPath": MODELS}
        mounts.append(mount)
        engine = engine | {"volumeMounts": [*engine["volumeMounts"], mount | {"readOnly": True}]}
    parts = {"initContainers": [fetch | {"volumeMounts": mounts}], "containers": [engine, *others], "volumes": volumes}
    return template | {"spec": spec | parts}
