"""The init container that brings a model into a worker pod, and the volume that it comes into."""

from typing import Any, Final

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import ModelSpec
from llmservice_api.names import FETCH_CONTAINER, FETCH_PORT
from llmservice_operator.resources.worker_args import is_fetched, source_of
from llmservice_worker.fetch.source import ENVIRONMENT, MODELS, FetchArgs

Json = dict[str, Any]

_RESOURCES: Final[Json] = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
_KEYS: Final = {
    "hf": {"HF_TOKEN": "token"},
    "s3": {name: name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")},
}
"""Scheme → variable → key of the Secret; gs:// is asked by its S3 protocol."""
_CACHE: Final = "models-cache"


def fetch_container(model: ModelSpec, pool: GPUPoolSpec, security: Json) -> Json:
    """The init container `fetch`: it alone has the source's credentials."""
    args = FetchArgs(source=source_of(model, pool), port=FETCH_PORT)
    told = [
        {"name": ENVIRONMENT, "value": args.model_dump_json(exclude_defaults=True)},
        {"name": "HOME", "value": "/tmp"},
    ]
    return {
        "name": FETCH_CONTAINER,
        "image": pool.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "llmservice_worker.fetch"],
        "env": [*told, *credentials(model)],
        "ports": [{"containerPort": FETCH_PORT, "name": "progress"}],
        "resources": _RESOURCES,
        "securityContext": security,
    }


def credentials(model: ModelSpec) -> list[Json]:
    """Variables with what the source asks for, from its Secret; each key may be absent."""
    secret = model.credentials_secret_ref
    scheme = model.source.split("://", 1)[0]
    keys = _KEYS.get("s3" if scheme == "gs" else scheme, {})
    if secret is None:
        return []
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": key, "optional": True}}}
        for name, key in keys.items()
    ]


def with_fetched_model(template: Json, model: ModelSpec, pool: GPUPoolSpec) -> Json:
    """A worker's template whose model is fetched before its engine starts; of a mounted model, as it was."""
    if not is_fetched(model.source):
        return template
    spec = template["spec"]
    engine, *others = spec["containers"]
    fetch = fetch_container(model, pool, engine["securityContext"])
    mounts = [mount for mount in engine["volumeMounts"] if mount["name"] in ("tmp", "cache")]
    volumes = list(spec["volumes"])
    if model.cache_claim is not None:
        volumes.append({"name": _CACHE, "persistentVolumeClaim": {"claimName": model.cache_claim}})
        mount = {"name": _CACHE, "mountPath": MODELS}
        mounts.append(mount)
        engine = engine | {"volumeMounts": [*engine["volumeMounts"], mount | {"readOnly": True}]}
    parts = {"initContainers": [fetch | {"volumeMounts": mounts}], "containers": [engine, *others], "volumes": volumes}
    return template | {"spec": spec | parts}
