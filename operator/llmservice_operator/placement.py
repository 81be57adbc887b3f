"""Which pool a service runs on, and why not on the others: pure checks in an ordered list."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_api.reasons import Reason


@dataclass(frozen=True)
class Candidate:
    """A service asking for a pool."""

    spec: LLMServiceSpec
    pool_name: str
    pool: GPUPoolSpec | None
    node_labels: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Refusal:
    """Why a pool cannot take the service."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Placed:
    """The pool chosen, and why."""

    pool_name: str
    pool: GPUPoolSpec
    message: str


Check = Callable[[Candidate], Refusal | None]


def pool_is_missing(candidate: Candidate) -> Refusal | None:
    """No GPUPool of that name exists."""
    if candidate.pool is not None:
        return None
    return Refusal(
        Reason.POOL_MISSING,
        f"spec.placement.pools names {candidate.pool_name}, but there is no such GPUPool: "
        "create it or choose one of `kubectl get gpupools`",
    )


def remote_code_is_refused(candidate: Candidate) -> Refusal | None:
    """The model wants to run its own code and the pool does not allow it."""
    if not candidate.spec.model.trust_remote_code or _pool(candidate).allow_trust_remote_code:
        return None
    return Refusal(
        Reason.TRUST_REMOTE_CODE_REFUSED,
        f"spec.model.trustRemoteCode is set, but pool {candidate.pool_name} does not allow it "
        "(spec.allowTrustRemoteCode)",
    )


def accelerators_do_not_fit(candidate: Candidate) -> Refusal | None:
    """One node of the pool has fewer accelerators than a replica shares."""
    wanted = _tensor_parallel(candidate)
    accelerator = _pool(candidate).accelerator
    offered = accelerator.per_node if accelerator else 1
    if wanted <= offered:
        return None
    has = f"has {offered}×{accelerator.memory} a node" if accelerator else "has no accelerators"
    return Refusal(
        Reason.DOES_NOT_FIT,
        f"spec.engine.tensorParallel needs {wanted} accelerators in one node; pool {candidate.pool_name} {has}",
    )


def nodes_do_not_fit(candidate: Candidate) -> Refusal | None:
    """The pool has fewer nodes than the stages of a replica take, or no accelerators for them."""
    stages, pool = candidate.spec.engine.pipeline_parallel or 1, _pool(candidate)
    if stages == 1:
        return None
    name = candidate.pool_name
    if pool.accelerator is None:
        message = f"spec.engine.pipelineParallel is {stages}, which takes accelerators; pool {name} has none"
        return Refusal(Reason.DOES_NOT_FIT, message)
    each = _tensor_parallel(candidate)
    nodes = pool.max_nodes or sum(matches(labels, pool.node_selector) for labels in candidate.node_labels)
    has = nodes * (pool.accelerator.per_node // each)
    if stages <= has:
        return None
    return Refusal(
        Reason.DOES_NOT_FIT,
        f"spec.engine.pipelineParallel needs {stages} times {each} accelerators, each time in one node; pool {name} "
        f"has {has} times that ({nodes} nodes with {pool.accelerator.per_node} accelerators each)",
    )


def no_node_matches(candidate: Candidate) -> Refusal | None:
    """The cluster has nodes, none has the pool's labels, and the pool cannot grow by itself as far as it says."""
    pool = _pool(candidate)
    if any(matches(labels, pool.node_selector) for labels in candidate.node_labels) or pool.max_nodes:
        return None
    selector = ", ".join(f"{key}={value}" for key, value in sorted(pool.node_selector.items())) or "(any)"
    return Refusal(
        Reason.NO_NODE,
        f"no node has the labels of pool {candidate.pool_name} ({selector}): label nodes, correct spec.nodeSelector, "
        "or set spec.maxNodes where nodes are added on demand",
    )


CHECKS: Final[tuple[Check, ...]] = (
    pool_is_missing,
    remote_code_is_refused,
    accelerators_do_not_fit,
    no_node_matches,
    nodes_do_not_fit,
)


def place(
    spec: LLMServiceSpec, pools: Mapping[str, GPUPoolSpec], node_labels: Sequence[Mapping[str, str]]
) -> Placed | Refusal:
    """The first pool of spec.placement.pools that fits; by default the cheapest of all that fit."""
    named = list(spec.placement.pools)
    order = named or sorted(pools, key=lambda name: (_price(pools[name]), name))
    if not order:
        return Refusal(
            Reason.NO_POOL, "there is no GPUPool: create one (manifests/samples/cpu-pool.yaml is an example)"
        )
    refusals = []
    for name in order:
        refusal = _first_refusal(Candidate(spec, name, pools.get(name), node_labels))
        if refusal is None:
            why = "first of spec.placement.pools that fits" if named else "cheapest pool that fits"
            return Placed(name, pools[name], why)
        refusals.append(refusal)
    return Refusal(refusals[0].reason, "; ".join(refusal.message for refusal in refusals))


def _first_refusal(candidate: Candidate) -> Refusal | None:
    return next((refusal for check in CHECKS if (refusal := check(candidate)) is not None), None)


def _pool(candidate: Candidate) -> GPUPoolSpec:
    assert candidate.pool is not None, "pool_is_missing stands before this check"
    return candidate.pool


def _tensor_parallel(candidate: Candidate) -> int:
    return candidate.spec.engine.tensor_parallel or 1


def _price(pool: GPUPoolSpec) -> float:
    return float(pool.price_per_hour) if pool.price_per_hour else float("inf")


def matches(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether a node's labels hold all that a selector names."""
    return all(labels.get(key) == value for key, value in selector.items())
