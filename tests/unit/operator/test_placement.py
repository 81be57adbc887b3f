"""Which pool, and why not the others."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_api.reasons import Reason
from llmservice_operator.placement import Placed, Refusal, place
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
    found = place(wanted, pools, NODES)
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
    found = place(wanted, pools, NODES)
    assert isinstance(found, Refusal)
    assert found.reason is reason
    assert text in found.message


def test_all_refusals_are_told_and_the_first_gives_the_reason() -> None:
    found = place(spec(placement={"pools": ["x", "h100"]}), POOLS, NODES)
    assert isinstance(found, Refusal)
    assert found.reason is Reason.POOL_MISSING
    assert "names x" in found.message
    assert "pool h100" in found.message


def test_remote_code_where_the_pool_allows_it() -> None:
    pools = {"cpu": APool().having(allowTrustRemoteCode=True).build()}
    assert isinstance(place(spec(**REMOTE), pools, NODES), Placed)


def test_a_cluster_without_nodes_has_no_place_even_for_a_pool_without_selector() -> None:
    found = place(spec(), {"cpu": POOLS["cpu"]}, [])
    assert isinstance(found, Refusal)
    assert "(any)" in found.message
