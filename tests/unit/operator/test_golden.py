"""Golden cases: engine arguments and pods of whole specs. `make golden` writes them anew; review what it changes."""

from typing import Any

import pytest
import yaml

from tests.unit.operator.rendering import GOLDEN, cases, rendered

Json = dict[str, Any]


@pytest.mark.parametrize("case", cases())
def test_a_spec_renders_as_reviewed(case: str) -> None:
    assert rendered(case) == (GOLDEN / f"{case}.out.yaml").read_text(), "if this is meant: make golden, and review"


def golden(case: str) -> Json:
    """A reviewed rendering."""
    return dict(yaml.safe_load((GOLDEN / f"{case}.out.yaml").read_text()))


ENGINE: dict[str, Json] = {
    "multi-modal": {"limit_mm_per_prompt": {"image": 4, "video": 0}, "max_num_seqs": 16},
    "quantized": {"quantization": "awq", "dtype": "float16", "kv_cache_dtype": "fp8", "gpu_memory_utilization": 0.95},
    "tensor-parallel": {"tensor_parallel_size": 4},
    "multi-node": {
        "tensor_parallel_size": 8,
        "pipeline_parallel_size": 2,
        "distributed_executor_backend": "ray",
        "quantization": "fp8",
    },
    "cpu": {"enforce_eager": True},
    "embedding": {"max_model_len": 8192},
}


@pytest.mark.parametrize(("case", "arguments"), ENGINE.items(), ids=ENGINE)
def test_a_golden_holds_the_engine_arguments_of_its_case(case: str, arguments: Json) -> None:
    kwargs = golden(case)["engine"]["config"]["engine_kwargs"]
    assert {key: kwargs[key] for key in arguments} == arguments


PODS: dict[str, tuple[int, str | None, int]] = {
    "multi-modal": (1, "1", 1),
    "quantized": (2, "1", 1),
    "tensor-parallel": (1, "4", 4),
    "multi-node": (4, "8", 16),
    "cpu": (1, None, 1),
    "embedding": (1, "1", 1),
}


@pytest.mark.parametrize(("case", "pods"), PODS.items(), ids=PODS)
def test_a_golden_holds_the_pods_of_its_case(case: str, pods: tuple[int, str | None, int]) -> None:
    found = golden(case)
    limits = found["workers"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    bundles = found["engine"]["deployment"]["placement_group_bundles"]
    assert (found["workers"]["replicas"], limits.get("nvidia.com/gpu"), len(bundles)) == pods


def test_tasks_and_media_hosts_stand_in_the_arguments() -> None:
    assert golden("embedding")["application"]["args"]["tasks"] == ["embed", "score"]
    hosts = golden("multi-modal")["application"]["args"]["media_hosts"]
    assert hosts == ["images.example.com", "media.example.com"]
