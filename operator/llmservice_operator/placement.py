"""Which pool a service runs on, and why not on the others: pure checks in an ordered list."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_api.reasons import Reason
from llmservice_operator.memory import GIB, Shape, fewest, least, needed
from llmservice_operator.shares import Taken


@dataclass(frozen=True)
class Scene:
    """What placing a service looks at beside its spec.

    `node_labels` None: the operator may not see nodes, so nothing is refused for want of them.
    `shape`: of its model, where it is known. `taken`: what other services have of each pool. `proved`: the pool where
    it has answered as the spec asks, with the accelerators of a stage there: no estimate knows better. `made`: pools
    where what the spec asks for comes up already. `own`: what its active revision has of a pool at least, where that
    would go on beside what must come. `has_waited`: what came up has found no node for as long as it may wait.
    """

    pools: Mapping[str, GPUPoolSpec]
    node_labels: Sequence[Mapping[str, str]] | None
    shape: Shape | None = None
    taken: Mapping[str, Taken] = field(default_factory=dict)
    proved: tuple[str, int] | None = None
    made: Collection[str] = ()
    own: Mapping[str, int] = field(default_factory=dict)
    has_waited: bool = False

    def nodes(self, pool: GPUPoolSpec) -> int | None:
        """How many nodes bear the pool's labels; None: that cannot be seen."""
        if self.node_labels is None:
            return None
        return sum(matches(labels, pool.node_selector) for labels in self.node_labels)


@dataclass(frozen=True)
class Candidate:
    """A service asking for a pool."""

    spec: LLMServiceSpec
    pool_name: str
    pool: GPUPoolSpec | None
    scene: Scene

    @property
    def stage(self) -> int | None:
        """Accelerators in one node that a stage of a replica takes; None: one node has too few of them."""
        accelerator = _pool(self).accelerator
        if accelerator is None:
            return self.spec.engine.tensor_parallel or 1
        if self.scene.proved is not None and self.is_there:
            return self.scene.proved[1]
        return fewest(self.spec, self.scene.shape, accelerator)

    @property
    def stages(self) -> int:
        """Nodes that share a replica."""
        return self.spec.engine.pipeline_parallel or 1

    @property
    def is_there(self) -> bool:
        """Whether it runs on the pool as the spec asks, and so takes nothing more of it."""
        return self.scene.proved is not None and self.scene.proved[0] == self.pool_name


@dataclass(frozen=True)
class Refusal:
    """Why a pool, or any, cannot take the service. `is_full`: one of them is full: nothing may be held there."""

    reason: Reason
    message: str
    is_full: bool = False


@dataclass(frozen=True)
class Placed:
    """The pool chosen, and why; `spec` says how many accelerators a stage takes, `accelerators` of a whole replica.

    `memory`: bytes that each of those needs, 0 where that is unknown.
    """

    pool_name: str
    pool: GPUPoolSpec
    message: str
    spec: LLMServiceSpec
    accelerators: int
    memory: float


Check = Callable[[Candidate], Refusal | None]


def pool_is_missing(candidate: Candidate) -> Refusal | None:
    """No GPUPool of that name exists."""
    if candidate.pool is not None:
        return None
    there = "create it or choose one of `kubectl get gpupools`"
    if candidate.scene.node_labels is None:
        there = f"choose one of {', '.join(sorted(candidate.scene.pools))}, or have it added to the chart's gpuPools"
    return Refusal(
        Reason.POOL_MISSING, f"spec.placement.pools names {candidate.pool_name}, but there is no such GPUPool: {there}"
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
    wanted = candidate.spec.engine.tensor_parallel or 1
    accelerator = _pool(candidate).accelerator
    offered = accelerator.per_node if accelerator else 1
    if wanted <= offered:
        return None
    has = f"has {offered}×{accelerator.memory} a node" if accelerator else "has no accelerators"
    return Refusal(
        Reason.DOES_NOT_FIT,
        f"spec.engine.tensorParallel needs {wanted} accelerators in one node; pool {candidate.pool_name} {has}",
    )


def memory_does_not_fit(candidate: Candidate) -> Refusal | None:
    """All accelerators of a node together hold less than the model takes."""
    accelerator = _pool(candidate).accelerator
    if accelerator is None or candidate.stage is not None:
        return None
    spec, shape = candidate.spec, candidate.scene.shape
    enough = least(spec, shape, accelerator)
    each = f"{needed(spec, shape, enough) / GIB:.1f}Gi each of weights, cache and overhead"
    has = f"{accelerator.per_node}×{accelerator.memory}"
    return Refusal(
        Reason.DOES_NOT_FIT,
        f"the model needs {enough}×{accelerator.memory} ({each}); pool {candidate.pool_name} has {has} a node: add a "
        "larger pool, lower spec.engine.maxModelLen, or set spec.engine.memory where the estimate is wrong",
    )


def pool_is_full(candidate: Candidate) -> Refusal | None:
    """Other services have so many of the pool's accelerators that a replica finds no room within maxNodes.

    One that comes up there gives way to what the others have at least, not to a peak of their load.
    """
    pool, others = _pool(candidate), candidate.scene.taken.get(candidate.pool_name, _NOTHING)
    taken = others.fewest if candidate.pool_name in candidate.scene.made else others.wanted
    if pool.accelerator is None or not pool.max_nodes or candidate.is_there:
        return None
    wanted = (candidate.stage or 1) * candidate.stages
    there = pool.max_nodes * pool.accelerator.per_node
    if taken + wanted <= there:
        return None
    return Refusal(
        Reason.POOL_FULL,
        f"pool {candidate.pool_name} has {there} accelerators (spec.maxNodes {pool.max_nodes} of "
        f"{pool.accelerator.per_node}), other services take {taken} of them, and a replica needs {wanted}",
        is_full=True,
    )


def no_room_for_two(candidate: Candidate) -> Refusal | None:
    """A replica finds no room beside what serves already, but would in its place.

    Reckoned with what all have at least: a peak of load must not end what serves. Without `maxNodes` it takes a try, as
    more nodes may come than there are.
    """
    pool, name, scene = _pool(candidate), candidate.pool_name, candidate.scene
    own, nodes = scene.own.get(name, 0), pool.max_nodes or (scene.nodes(pool) if scene.has_waited else None)
    if pool.accelerator is None or own == 0 or nodes is None or candidate.is_there:
        return None
    taken, wanted = scene.taken.get(name, _NOTHING), (candidate.stage or 1) * candidate.stages
    there = nodes * pool.accelerator.per_node
    if taken.fewest + own + wanted <= there or taken.wanted + wanted > there:
        return None
    return Refusal(
        Reason.POOL_FULL,
        f"pool {name} has {there} accelerators, of which other services take {taken.fewest} and what serves {own}, and "
        f"a new replica needs {wanted}",
    )


def nodes_do_not_fit(candidate: Candidate) -> Refusal | None:
    """The pool has fewer nodes than the stages of a replica take, or no accelerators for them."""
    stages, pool = candidate.stages, _pool(candidate)
    if stages == 1:
        return None
    name = candidate.pool_name
    if pool.accelerator is None:
        message = f"spec.engine.pipelineParallel is {stages}, which takes accelerators; pool {name} has none"
        return Refusal(Reason.DOES_NOT_FIT, message)
    each = candidate.stage or 1
    nodes = pool.max_nodes or candidate.scene.nodes(pool)
    if nodes is None:
        return None
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
    if pool.max_nodes or candidate.scene.nodes(pool) != 0:
        return None
    selector = ", ".join(f"{key}={value}" for key, value in sorted(pool.node_selector.items())) or "(any)"
    return Refusal(
        Reason.NO_NODE,
        f"no node has the labels of pool {candidate.pool_name} ({selector}): label nodes, correct spec.nodeSelector, "
        "or set spec.maxNodes where nodes are added on demand",
    )


_NOTHING: Final = Taken(0, 0)
_UNSEEN: Final = "whether it has nodes is not looked at, since the operator serves named namespaces and reads no nodes"

CHECKS: Final[tuple[Check, ...]] = (
    pool_is_missing,
    remote_code_is_refused,
    accelerators_do_not_fit,
    memory_does_not_fit,
    no_node_matches,
    nodes_do_not_fit,
    pool_is_full,
    no_room_for_two,
)


def place(spec: LLMServiceSpec, scene: Scene, without: Collection[str] = ()) -> Placed | Refusal:
    """The first pool of spec.placement.pools that fits; by default the one where it answers, else the cheapest.

    `without`: pools that are not tried, since they had no node.
    """
    named, pools = list(spec.placement.pools), scene.pools
    if not (named or pools):
        return Refusal(
            Reason.NO_POOL, "there is no GPUPool: create one (manifests/samples/cpu-pool.yaml is an example)"
        )
    why = "first of spec.placement.pools that fits" if named else "cheapest pool that fitted"
    fits, refusals = [], []
    for name in (each for each in named or sorted(pools) if each not in without):
        candidate = Candidate(spec, name, pools.get(name), scene)
        refusal = _first_refusal(candidate)
        if refusal is not None:
            refusals.append(refusal)
            continue
        fits.append(_placed(candidate, why if scene.node_labels is not None else f"{why}; {_UNSEEN}"))
        if named:
            break
    if fits:
        answers = [placed for placed in fits if scene.proved is not None and placed.pool_name == scene.proved[0]]
        return min(answers or fits, key=_cheapness)
    if not refusals:
        return Refusal(Reason.NO_NODE, "no other pool may be tried")
    message = "; ".join(refusal.message for refusal in refusals)
    return Refusal(refusals[0].reason, message, any(refusal.is_full for refusal in refusals))


def _placed(candidate: Candidate, why: str) -> Placed:
    spec, pool, stage = candidate.spec, _pool(candidate), candidate.stage or 1
    if pool.accelerator is None:
        return Placed(candidate.pool_name, pool, why, spec, 0, 0)
    count = stage * candidate.stages
    memory = needed(candidate.spec, candidate.scene.shape, count)
    return Placed(candidate.pool_name, pool, why, with_stage(spec, stage), count, memory)


def with_stage(spec: LLMServiceSpec, accelerators: int) -> LLMServiceSpec:
    """The spec with so many accelerators for a stage where it leaves that open; 1 is what it means anyway."""
    if spec.engine.tensor_parallel is not None or accelerators == 1:
        return spec
    return spec.model_copy(update={"engine": spec.engine.model_copy(update={"tensor_parallel": accelerators})})


def price(placed: Placed, replicas: int) -> float | None:
    """What so many replicas take of the pool's nodes for an hour; on a CPU pool each is counted as a node."""
    if placed.pool.price_per_hour is None:
        return None
    accelerator = placed.pool.accelerator
    nodes = placed.accelerators / accelerator.per_node if accelerator else 1
    return float(placed.pool.price_per_hour) * nodes * replicas


def _first_refusal(candidate: Candidate) -> Refusal | None:
    return next((refusal for check in CHECKS if (refusal := check(candidate)) is not None), None)


def _pool(candidate: Candidate) -> GPUPoolSpec:
    assert candidate.pool is not None, "pool_is_missing stands before this check"
    return candidate.pool


def _cheapness(placed: Placed) -> float:
    """By what a replica takes of the nodes: a large node may be the cheaper one for a small part of it."""
    cost = price(placed, 1)
    return inf if cost is None else cost


def matches(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether a node's labels hold all that a selector names."""
    return all(labels.get(key) == value for key, value in selector.items())
