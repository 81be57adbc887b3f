"""Every name that more than one part must agree on: group, labels, object names, ports."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

GROUP: Final = "llmservice.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
LLMSERVICES: Final = "llmservices"
GPUPOOLS: Final = "gpupools"
APIKEYS: Final = "apikeys"
BUDGETS: Final = "budgets"

FIELD_MANAGER: Final = "llmservice-operator"
LABEL_SERVICE: Final = f"{GROUP}/service"
LABEL_REVISION: Final = f"{GROUP}/revision"
LABEL_NAMESPACE: Final = f"{GROUP}/namespace"
LABEL_REPLICA_PODS: Final = f"{GROUP}/replica-pods"
"""Of a worker pod that is a part of a replica: how many such pods make one; absent where the pod is a whole one."""
POOL_ANNOTATION: Final = f"{GROUP}/pool"
"""Of a RayService: the GPUPool that it runs on."""
ACCELERATORS_ANNOTATION: Final = f"{GROUP}/accelerators"
"""Of a RayService: how many of its pool its fewest replicas take, whether they are there yet or not."""

NAME_MAX: Final = 40
"""Longest LLMService name: a RayService's is at most 47 characters (KubeRay) and ours adds a dash and 6 hex."""

SERVE_PORT: Final = 8000
DASHBOARD_PORT: Final = 8265
REPLICA_PORT: Final = 8090
"""Of each engine's pod: `/metrics` (vLLM's and ours) and `/state` (adapters), for Prometheus and the operator."""
WORKER_CONTAINER: Final = "ray-worker"
FETCH_CONTAINER: Final = "fetch"
FETCH_PORT: Final = 8091
"""Of a pod that downloads its model: `/progress`, for the operator."""
GATEWAY_SERVICE: Final = "gateway"
OPERATOR_LEASE: Final = "llmservice-operator"
"""Held by the one operator that writes."""
KEY_PREFIX: Final = "llms"
PROBE_KEY_ID: Final = "probe"
"""Of requests by which the operator asks whether a model answers."""
KEY_ID_HEADER: Final = "x-llmservice-key-id"
"""What the gateway tells an engine, and whoever reaches it without the gateway says himself: whose request it is."""
ADMIN_HEADER: Final = "x-llmservice-admin"
"""What the gateway tells the ledger of an Admin key: the namespace that it may see, EVERY_NAMESPACE for all."""
EVERY_NAMESPACE: Final = "*"
ROUTE_HEADER: Final = "x-llmservice-route"
"""What the gateway tells an engine and its own slow path: which LLMService it asks, `<namespace>/<name>`."""
ADDRESS_HEADER: Final = "x-llmservice-address"
"""What the gateway tells the probe's key alone: the address that it asked, `<ip>:<port>`."""

LEDGER_AUDIENCE: Final = "llmservice-ledger"
"""Of the ServiceAccount tokens that workers and gateways show the ledger."""

SERVE_APPLICATION: Final = "llm"
WORKER_GROUP: Final = "workers"
CACHE_ROOT: Final = "/cache"


def content_hash(value: Any, length: int = 6) -> str:
    """The first `length` hex digits of the SHA-256 of `value` as canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def revision(service: str, needs_new_engine: Mapping[str, Any]) -> str:
    """The revision's name, `<service>-<6 hex>`, from all that a running engine cannot change."""
    return f"{service}-{content_hash(needs_new_engine)}"


def labels(service: str, component: str, revision_name: str | None = None) -> dict[str, str]:
    """The labels of a child: the six recommended ones, and what ours are found by."""
    found = {
        "app.kubernetes.io/name": "llmservice",
        "app.kubernetes.io/instance": service,
        "app.kubernetes.io/version": VERSION,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "llmservice",
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
        LABEL_SERVICE: service,
    }
    if revision_name is not None:
        found[LABEL_REVISION] = revision_name
    return found
