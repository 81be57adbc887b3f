"""What a worker pod needs to load adapters: volumes of their claims, and what other sources ask for."""

from typing import Any, Final

from llmservice_api.llmservice import LLMServiceSpec
from llmservice_api.names import content_hash
from llmservice_operator.resources.fetch import secret_mounts, secret_volume
from llmservice_operator.resources.worker_args import claim_of, is_fetched
from llmservice_worker.args import ADAPTER_ENDPOINTS, MODELS_ROOT
from llmservice_worker.fetch.source import protocol

Json = dict[str, Any]

_SECRET: Final = "adapter-credentials"


def adapter_sources(spec: LLMServiceSpec) -> list[str]:
    """Sources of all adapters, the folder of dynamic ones included, each once and in one order."""
    folder = [spec.dynamic_adapters.source] if spec.dynamic_adapters else []
    return sorted({*(adapter.source for adapter in spec.adapters), *folder})


def adapter_claims(spec: LLMServiceSpec) -> list[str]:
    """PersistentVolumeClaims of adapters, without the one that the model is on."""
    claims = {claim for source in adapter_sources(spec) if (claim := claim_of(source)) is not None}
    return sorted(claims - {claim_of(spec.model.source)})


def with_adapters(template: Json, spec: LLMServiceSpec) -> Json:
    """A worker's template that can load the adapters; without adapters, as it was."""
    if not adapter_sources(spec):
        return template
    pod = template["spec"]
    engine, *others = pod["containers"]
    named = [(f"adapters-{content_hash(claim)}", claim) for claim in adapter_claims(spec)]
    mounts = [{"name": name, "mountPath": f"{MODELS_ROOT}/{claim}", "readOnly": True} for name, claim in named]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}} for name, claim in named]
    secret = secret_volume(_SECRET, spec.model, filter(is_fetched, adapter_sources(spec)))
    engine = engine | {
        "volumeMounts": [*engine["volumeMounts"], *mounts, *secret_mounts(secret)],
        "env": [*engine["env"], *_endpoint(spec)],
    }
    volumes = [*pod["volumes"], *volumes, *secret]
    return template | {"spec": pod | {"containers": [engine, *others], "volumes": volumes}}


def _endpoint(spec: LLMServiceSpec) -> list[Json]:
    """The model's endpoint, where adapters that are fetched are asked by the same protocol."""
    fetched = [protocol(source) for source in adapter_sources(spec) if is_fetched(source)]
    of_model = protocol(spec.model.source) if is_fetched(spec.model.source) else next(iter(fetched), None)
    if not spec.model.endpoint or of_model not in fetched:
        return []
    return [{"name": ADAPTER_ENDPOINTS[of_model], "value": spec.model.endpoint}]
