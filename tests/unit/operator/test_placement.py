"""Which pool, and why not the others."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_api.reasons import Reason
from llmservice_operator.memory import Shape
from llmservice_operator.placement import Placed, Refusal, Scene, place, price
from llmservice_operator.shares import Taken
from tests.unit.operator.builders import APool

L4 = {"nvidia.com/gpu.product": "NVIDIA-L4"}
NODES: Sequence[Mapping[str, str]] = ({"kubernetes.io/os": "linux"}, L4)
POOLS = {
    "cpu": APool().build(),
    "l4": APool().gpu(per_node=4).having(pricePerHour="2.10").build(),
    "spot": APool().gpu(per_node=4).having(pricePerHour="0.70").build(),
    "h100": APool().gpu(per_node=8, product="NVIDIA-H100").having(pricePerHour="0.10").build(),
}


def spec(**fields: Any) -> LLMServiceSpec:
    """A spec with parts set."""
    return LLMServiceSpec.model_validate({"model": {"source": "hf://o/m"}} | fields)


PLACED = {
    "cheapest that has a node": (spec(), POOLS, "spot"),
    "no price is the dearest": (spec(), {"cpu": POOLS["cpu"], "l4": POOLS["l4"]}, "l4"),
    "by name where prices are alike": (spec(), {"z": POOLS["cpu"], "a": POOLS["cpu"]}, "a"),
    "first named that fits": (spec(placement={"pools": ["h100", "l4", "spot"]}), POOLS, "l4"),
    "named, though dearer": (spec(placement={"pools": ["cpu"]}), POOLS, "cpu"),
    "grows on demand": (
        spec(placement={"pools": ["h100"]}),
        {"h100": POOLS["h100"].model_copy(update={"max_nodes": 2})},
        "h100",
    ),
    "four share a replica": (spec(engine={"tensorParallel": 4}), POOLS, "spot"),
    "two nodes with eight each": (
        spec(engine={"tensorParallel": 8, "pipelineParallel": 2}),
        {"h100": POOLS["h100"].model_copy(update={"max_nodes": 2})},
        "h100",
    ),
    "two stages in one node": (spec(engine={"tensorParallel": 2, "pipelineParallel": 2}), POOLS, "spot"),
}


@pytest.mark.parametrize(("wanted", "pools", "name"), PLACED.values(), ids=PLACED)
def test_placed(wanted: LLMServiceSpec, pools: dict[str, GPUPoolSpec], name: str) -> None:
    found = place(wanted, Scene(pools, NODES))
    assert isinstance(found, Placed)
    assert found.pool_name == name
    assert found.pool == pools[name]


REMOTE = {"model": {"source": "hf://o/m", "trustRemoteCode": True}}
REFUSED = {
    "no pool at all": (spec(), {}, Reason.NO_POOL, "there is no GPUPool"),
    "named pool is missing": (spec(placement={"pools": ["x"]}), POOLS, Reason.POOL_MISSING, "names x"),
    "no node": (spec(placement={"pools": ["h100"]}), POOLS, Reason.NO_NODE, "nvidia.com/gpu.product=NVIDIA-H100"),
    "too many accelerators": (
        spec(engine={"tensorParallel": 8}, placement={"pools": ["l4"]}),
        POOLS,
        Reason.DOES_NOT_FIT,
        "needs 8 accelerators in one node; pool l4 has 4×24Gi a node",
    ),
    "accelerators of a CPU pool": (
        spec(engine={"tensorParallel": 2}, placement={"pools": ["cpu"]}),
        POOLS,
        Reason.DOES_NOT_FIT,
        "pool cpu has no accelerators",
    ),
    "more stages than nodes": (
        spec(engine={"tensorParallel": 4, "pipelineParallel": 2}, placement={"pools": ["l4"]}),
        POOLS,
        Reason.DOES_NOT_FIT,
        "spec.engine.pipelineParallel needs 2 times 4 accelerators, each time in one node; "
        "pool l4 has 1 times that (1 nodes with 4 accelerators each)",
    ),
    "stages on a CPU pool": (
        spec(engine={"pipelineParallel": 2}, placement={"pools": ["cpu"]}),
        POOLS,
        Reason.DOES_NOT_FIT,
        "spec.engine.pipelineParallel is 2, which takes accelerators; pool cpu has none",
    ),
    "remote code": (
        spec(placement={"pools": ["cpu"]}, **REMOTE),
        POOLS,
        Reason.TRUST_REMOTE_CODE_REFUSED,
        "spec.allowTrustRemoteCode",
    ),
}


@pytest.mark.parametrize(("wanted", "pools", "reason", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(wanted: LLMServiceSpec, pools: dict[str, GPUPoolSpec], reason: Reason, text: str) -> None:
    found = place(wanted, Scene(pools, NODES))
    assert isinstance(found, Refusal)
    assert found.reason is reason
    assert text in found.message


def test_all_refusals_are_told_and_the_first_gives_the_reason() -> None:
    found = place(spec(placement={"pools": ["x", "h100"]}), Scene(POOLS, NODES))
    assert isinstance(found, Refusal)
    assert found.reason is Reason.POOL_MISSING
    assert "names x" in found.message
    assert "pool h100" in found.message


def test_remote_code_where_the_pool_allows_it() -> None:
    pools = {"cpu": APool().having(allowTrustRemoteCode=True).build()}
    assert isinstance(place(spec(**REMOTE), Scene(pools, NODES)), Placed)


def test_a_cluster_without_nodes_has_no_place_even_for_a_pool_without_selector() -> None:
    found = place(spec(), Scene({"cpu": POOLS["cpu"]}, []))
    assert isinstance(found, Refusal)
    assert "(any)" in found.message


UNSEEN: dict[str, tuple[LLMServiceSpec, str]] = {
    "the cheapest of all": (spec(), "h100"),
    "the first that is named": (spec(placement={"pools": ["l4", "h100"]}), "l4"),
    "two nodes, of which nobody knows": (spec(engine={"tensorParallel": 8, "pipelineParallel": 2}), "h100"),
}


@pytest.mark.parametrize(("wanted", "name"), UNSEEN.values(), ids=UNSEEN)
def test_where_nodes_cannot_be_seen_none_is_missed_and_that_is_said(wanted: LLMServiceSpec, name: str) -> None:
    found = place(wanted, Scene(POOLS, None))
    assert isinstance(found, Placed)
    assert found.pool_name == name
    assert "reads no nodes" in found.message
    seen = place(spec(), Scene(POOLS, NODES))
    assert isinstance(seen, Placed)
    assert "nodes" not in seen.message


UNSEEN_REFUSED: dict[str, tuple[LLMServiceSpec, Reason, str]] = {
    "a pool that is not there": (
        spec(placement={"pools": ["x"]}),
        Reason.POOL_MISSING,
        "choose one of cpu, h100, l4, spot, or have it added to the chart's gpuPools",
    ),
    "more than a node has": (
        spec(placement={"pools": ["l4"]}, engine={"tensorParallel": 8}),
        Reason.DOES_NOT_FIT,
        "pool l4 has 4",
    ),
    "stages without accelerators": (
        spec(placement={"pools": ["cpu"]}, engine={"pipelineParallel": 2}),
        Reason.DOES_NOT_FIT,
        "pool cpu has none",
    ),
}


@pytest.mark.parametrize(("wanted", "reason", "text"), UNSEEN_REFUSED.values(), ids=UNSEEN_REFUSED)
def test_what_the_pool_itself_says_refuses_as_ever(wanted: LLMServiceSpec, reason: Reason, text: str) -> None:
    found = place(wanted, Scene(POOLS, None))
    assert isinstance(found, Refusal)
    assert found.reason is reason
    assert text in found.message


LARGE = Shape(141_107_000_000, 16, 163_840, 8, 64, 131_072)
BIG = {
    "l4": APool().gpu(per_node=8).having(pricePerHour="5.00", maxNodes=1).build(),
    "h100": APool()
    .gpu(per_node=8)
    .having(pricePerHour="24.00", accelerator={"memory": "80Gi", "perNode": 8}, maxNodes=2)
    .build(),
    "half": APool().gpu(per_node=4).having(pricePerHour="3.00").build(),
}


def test_the_cheapest_pool_whose_node_holds_the_model_with_as_many_accelerators_as_that_takes() -> None:
    found = place(spec(), Scene(BIG, NODES, LARGE))
    assert isinstance(found, Placed)
    assert (found.pool_name, found.accelerators, found.spec.engine.tensor_parallel) == ("l4", 8, 8)
    assert round(found.memory / 2**30, 1) == 19.1


def test_what_a_replica_takes_of_a_node_is_what_makes_a_pool_cheap() -> None:
    pools = BIG | {"h100": BIG["h100"].model_copy(update={"price_per_hour": "16.00"})}
    found = place(spec(), Scene(pools, NODES, LARGE))
    assert isinstance(found, Placed)
    assert (found.pool_name, price(found, 1)) == ("h100", 4.0), "2 of 8 for 16.00, where all of an l4 node is 5.00"


TWO: dict[str, tuple[GPUPoolSpec, dict[str, int], dict[str, int], bool, bool]] = {
    "room for both": (BIG["l4"], {}, {"l4": 4}, False, True),
    "none beside what serves": (BIG["l4"], {}, {"l4": 5}, False, False),
    "none beside that and others": (BIG["l4"], {"l4": 2}, {"l4": 3}, False, False),
    "what serves is on another pool": (BIG["l4"], {}, {"h100": 8}, False, True),
    "more nodes may come": (BIG["half"], {}, {"l4": 1}, False, True),
    "none came": (BIG["half"], {}, {"l4": 1}, True, False),
    "none came, and others have it all": (BIG["half"], {"l4": 1}, {"l4": 1}, True, True),
    "of CPUs": (POOLS["cpu"], {}, {"l4": 9}, True, True),
}


@pytest.mark.parametrize(("pool", "taken", "own", "waited", "fits"), TWO.values(), ids=TWO)
def test_whether_two_find_room(
    pool: GPUPoolSpec, taken: dict[str, int], own: dict[str, int], waited: bool, fits: bool
) -> None:
    wanted = spec() if pool.accelerator is None else spec(engine={"tensorParallel": 4})
    others = {name: Taken(count, count) for name, count in taken.items()}
    found = place(wanted, Scene({"l4": pool}, [pool.node_selector], None, others, own=own, has_waited=waited))
    assert isinstance(found, Placed) is fits
    assert fits or "a new replica needs 4" in getattr(found, "message", "")


def test_what_does_not_fit_is_told_with_numbers() -> None:
    found = place(spec(placement={"pools": ["half"]}), Scene(BIG, NODES, LARGE))
    assert isinstance(found, Refusal)
    assert found.reason is Reason.DOES_NOT_FIT
    assert "needs 8×24Gi (19.1Gi each of weights, cache and overhead); pool half has 4×24Gi a node" in found.message


def test_what_is_declared_is_taken_for_what_is_estimated() -> None:
    small = spec(engine={"memory": "20Gi"}, placement={"pools": ["half"]})
    found = place(small, Scene(BIG, NODES, LARGE))
    assert isinstance(found, Placed)
    assert (found.accelerators, found.spec.engine.tensor_parallel) == (1, None)
    large = place(spec(engine={"memory": "200Gi"}, placement={"pools": ["half"]}), Scene(BIG, NODES))
    assert isinstance(large, Refusal)
    assert "needs 16×24Gi" in large.message


def test_a_cpu_pool_asks_for_no_memory() -> None:
    found = place(spec(), Scene({"cpu": POOLS["cpu"]}, NODES, LARGE))
    assert isinstance(found, Placed)
    assert (found.accelerators, found.spec.engine.tensor_parallel) == (0, None)


TAKEN: list[tuple[dict[str, int], tuple[str, int] | None, str | None]] = [
    ({}, None, "l4"),
    ({"l4": 1}, None, "h100"),
    ({"l4": 1, "h100": 14}, None, "h100"),
    ({"l4": 1, "h100": 15}, None, None),
    ({"l4": 8}, ("l4", 8), "l4"),
]


@pytest.mark.parametrize(("taken", "proved", "name"), TAKEN)
def test_pools_end_where_max_nodes_says(
    taken: dict[str, int], proved: tuple[str, int] | None, name: str | None
) -> None:
    others = {pool: Taken(0, count) for pool, count in taken.items()}
    found = place(spec(placement={"pools": ["l4", "h100"]}), Scene(BIG, NODES, LARGE, others, proved))
    if name is None:
        assert isinstance(found, Refusal)
        assert found.reason is Reason.POOL_FULL
        assert "pool h100 has 16 accelerators (spec.maxNodes 2 of 8), other services take 15" in found.message
    else:
        assert isinstance(found, Placed)
        assert found.pool_name == name


def test_what_comes_up_gives_way_to_what_others_have_at_least_and_not_to_their_load() -> None:
    wanted, peak = spec(placement={"pools": ["l4"]}, engine={"tensorParallel": 4}), {"l4": Taken(4, 8)}
    assert isinstance(place(wanted, Scene(BIG, NODES, None, peak, made=["l4"])), Placed)
    for scene in (Scene(BIG, NODES, None, peak), Scene(BIG, NODES, None, {"l4": Taken(5, 5)}, made=["l4"])):
        found = place(wanted, scene)
        assert isinstance(found, Refusal)
        assert found.is_full


def test_a_peak_of_others_load_ends_nothing_that_serves() -> None:
    wanted = spec(placement={"pools": ["l4"]}, engine={"tensorParallel": 2})
    found = place(wanted, Scene(BIG, NODES, None, {"l4": Taken(0, 6)}, own={"l4": 2}))
    assert isinstance(found, Placed), "it is made beside, and waits for the peak to be over"


def test_where_it_answers_is_left_for_no_cheaper_pool_unless_another_is_named() -> None:
    scene = Scene(BIG, NODES, LARGE, proved=("h100", 2))
    stays, named = place(spec(), scene), place(spec(placement={"pools": ["l4", "h100"]}), scene)
    assert isinstance(stays, Placed)
    assert isinstance(named, Placed)
    assert (stays.pool_name, named.pool_name) == ("h100", "l4")


def test_no_estimate_is_better_than_an_engine_that_has_answered() -> None:
    found = place(spec(placement={"pools": ["half"]}), Scene(BIG, NODES, LARGE, proved=("half", 4)))
    assert isinstance(found, Placed)
    assert (found.accelerators, found.spec.engine.tensor_parallel) == (4, 4)


@pytest.mark.parametrize(
    ("pools", "wanted", "replicas", "cost"),
    [
        ({"l4": BIG["l4"]}, spec(engine={"tensorParallel": 2}), 3, 3.75),
        ({"l4": BIG["l4"]}, spec(), 0, 0),
        ({"cpu": APool().having(pricePerHour="0.50").build()}, spec(), 3, 1.5),
        ({"cpu": POOLS["cpu"]}, spec(), 3, None),
    ],
)
def test_cost(pools: dict[str, GPUPoolSpec], wanted: LLMServiceSpec, replicas: int, cost: float | None) -> None:
    found = place(wanted, Scene(pools, NODES))
    assert isinstance(found, Placed)
    assert price(found, replicas) == cost
