"""Read everything that bears on one LLMService, before anything is decided."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from pydantic import ValidationError

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec, ModelSpec
from llmservice_api.names import GPUPOOLS, LABEL_NAMESPACE, LABEL_SERVICE, LLMSERVICES
from llmservice_operator.memory import Shape, remembered
from llmservice_operator.observed import Install, Observed
from llmservice_operator.resources.adapters import adapter_claims
from llmservice_operator.resources.ingress import ingress_name
from llmservice_operator.resources.worker_args import claim_of
from llmservice_operator.schedules import in_force
from llmservice_operator.store import Ref, Store

Json = dict[str, Any]

_NOT_OURS = ("pods", "rayclusters")
_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"


class Models(Protocol):
    """What can be known of a model before it is downloaded."""

    async def shape(self, model: ModelSpec) -> Shape | None:
        """What its memory depends on, or None."""


class Reader(Protocol):
    """What is read from the API server directly, since no watch brings it."""

    async def get(self, plural: str, namespace: str, name: str) -> Json | None:
        """One object, or None."""


async def observe(
    store: Store, reader: Reader, install: Install, service: Json, now: datetime, models: Models | None = None
) -> Observed:
    """The LLMService with all that bears on it; `models` None: no model is known before it is downloaded.

    Raises ValidationError where its spec is not of this schema."""
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    spec = in_force(LLMServiceSpec.model_validate(service["spec"]), now)
    own = [(ref, obj) for ref, obj in store.children(namespace, name) if ref.namespace == namespace]
    there = pools(store)
    return Observed(
        now=now,
        install=install,
        service=service,
        spec=spec,
        pools=there,
        node_labels=_node_labels(store) if install.sees_cluster else None,
        children=children_of(store, install, namespace, name),
        clusters=[obj for ref, obj in own if ref.plural == "rayclusters"],
        pods=[obj for ref, obj in own if ref.plural == "pods"],
        missing_claim=await _missing_claim(reader, namespace, spec),
        missing_adapter_claim=await _missing_of(reader, namespace, adapter_claims(spec)),
        has_default_class=any(map(_is_default, store.of_kind("ingressclasses"))) if install.sees_cluster else None,
        host_owner=_host_owner(store, install, namespace, name, spec),
        taken_names=store.model_names.taken(service),
        shape=await _shape(models, service, spec, there),
        taken=store.shares.beside((namespace, name), [pool for pool, has in there.items() if has.accelerator]),
    )


def pools(store: Store) -> dict[str, GPUPoolSpec]:
    """The pools whose spec is of this schema; a poisoned one harms no service that does not name it."""
    found = {}
    for pool in store.of_kind(GPUPOOLS):
        try:
            found[pool["metadata"]["name"]] = GPUPoolSpec.model_validate(pool.get("spec"))
        except ValidationError:
            continue
    return found


def _node_labels(store: Store) -> list[Mapping[str, str]]:
    return [node["metadata"].get("labels", {}) for node in store.of_kind("nodes")]


async def _shape(
    models: Models | None, service: Json, spec: LLMServiceSpec, there: Mapping[str, GPUPoolSpec]
) -> Shape | None:
    """Of the model: as status has it, else as it is told where something is to be placed by it. Nobody asks twice."""
    status = service.get("status") or {}
    known = remembered(status, spec.model)
    is_settled = (
        "active" in (status.get("revision") or {})
        and status.get("observedGeneration") == service["metadata"]["generation"]
    )
    if models is None or known is not None or is_settled or spec.engine.memory is not None:
        return known
    return await models.shape(spec.model) if any(pool.accelerator for pool in there.values()) else None


def children_of(store: Store, install: Install, namespace: str, name: str) -> dict[Ref, Json]:
    """What we made for a service, as it is known now; clusters and pods are KubeRay's."""
    return {
        ref: obj
        for ref, obj in store.children(namespace, name)
        if ref.plural not in _NOT_OURS
        and ref.namespace == (install.namespace if ref.plural == "ingresses" else namespace)
    }


def ingresses_of(store: Store, install: Install, namespace: str, name: str) -> list[tuple[Ref, Json]]:
    """Ingresses that we made for a service, in the gateway's namespace."""
    return [
        (ref, obj) for ref, obj in children_of(store, install, namespace, name).items() if ref.plural == "ingresses"
    ]


async def _missing_claim(reader: Reader, namespace: str, spec: LLMServiceSpec) -> str | None:
    return await _missing_of(reader, namespace, (claim_of(spec.model.source), spec.model.cache_claim))


async def _missing_of(reader: Reader, namespace: str, claims: Iterable[str | None]) -> str | None:
    for claim in claims:
        if claim is not None and await reader.get("persistentvolumeclaims", namespace, claim) is None:
            return claim
    return None


def _is_default(ingress_class: Json) -> bool:
    return bool(ingress_class["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true")


def _host_owner(store: Store, install: Install, namespace: str, name: str, spec: LLMServiceSpec) -> str | None:
    """`<namespace>/<name>` of the other LLMService whose Ingress has this spec's host, while that service exists."""
    if spec.endpoint is None:
        return None
    ingress = store.get(Ref("ingresses", install.namespace, ingress_name(spec.endpoint.host)))
    labels = (ingress or {}).get("metadata", {}).get("labels", {})
    owner = (labels.get(LABEL_NAMESPACE), labels.get(LABEL_SERVICE))
    if ingress is None or owner == (namespace, name):
        return None
    exists = store.get(Ref(LLMSERVICES, owner[0] or "", owner[1] or "")) is not None
    return f"{owner[0]}/{owner[1]}" if exists else None
