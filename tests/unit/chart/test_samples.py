"""Each sample is valid against its model, and shows what its name says."""

from pathlib import Path

import pytest

from hack import install
from hack.install import SAMPLES, sample
from llmservice_api.crd import KINDS
from llmservice_api.names import API_VERSION

MODELS = {kind.name: kind.model for kind in KINDS}


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: str(path.stem))
def test_a_sample_is_valid(path: Path) -> None:
    for obj in sample(path.stem):
        assert obj["apiVersion"] == API_VERSION
        MODELS[obj["kind"]].model_validate({"spec": obj["spec"]})


def test_there_is_a_sample_of_each_kind_of_use() -> None:
    assert {path.stem for path in SAMPLES.glob("*.yaml")} >= {"minimal", "gpu", "autoscaled", "keys", "cpu-pool"}


def test_the_minimal_sample_names_a_source_and_nothing_else() -> None:
    (service,) = sample("minimal")
    assert list(service["spec"]) == ["model"]
    assert list(service["spec"]["model"]) == ["source"]


def test_the_gpu_samples_pools_are_those_that_its_service_names() -> None:
    *pools, service = sample("gpu")
    assert [pool["metadata"]["name"] for pool in pools] == service["spec"]["placement"]["pools"]


def test_the_cpu_pool_takes_the_image_of_the_cluster() -> None:
    pool = install.cpu_pool("docker.io/llmservice/worker:cpu-0123456789ab")
    assert pool["spec"]["image"] == "docker.io/llmservice/worker:cpu-0123456789ab"
    assert pool["spec"]["worker"] == {"cpu": "200m", "memory": "5Gi", "threads": 2, "kvCache": "1Gi"}
