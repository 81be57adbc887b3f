"""The init container that fetches a model, and what of it the engine sees."""

import json
from typing import Any

import pytest

from llmservice_api.gpupool import GPUPoolSpec
from llmservice_api.llmservice import ModelSpec
from llmservice_operator.resources.pods import head_pod, worker_pod
from llmservice_operator.resources.worker_args import local_source
from llmservice_worker.fetch.source import FetchArgs, Source
from tests.unit.operator.builders import APool

Json = dict[str, Any]

AWS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"]


def model(source: str = "s3://bucket/m", **fields: Any) -> ModelSpec:
    """A model, by its fields' names on the wire."""
    return ModelSpec.model_validate({"source": source, **fields})


def worker(of: ModelSpec, pool: GPUPoolSpec | None = None) -> Json:
    """The spec of a worker pod."""
    return dict(worker_pod(of, pool or APool().build(), 1, {})["spec"])


def fetch(of: ModelSpec, pool: GPUPoolSpec | None = None) -> Json:
    """The init container."""
    (found,) = worker(of, pool)["initContainers"]
    return dict(found)


def environment(container: Json) -> dict[str, Any]:
    """Name → value or reference."""
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def test_a_mounted_model_is_not_fetched() -> None:
    assert "initContainers" not in worker(model("pvc://claim/m"))


@pytest.mark.parametrize("source", ["hf://o/m", "s3://bucket/m", "gs://bucket/m", "https://h/m.tar"])
def test_the_head_fetches_nothing_and_mounts_no_cache(source: str) -> None:
    of = model(source, cacheClaim="cache", **({"sha256": "0" * 64} if source.startswith("http") else {}))
    spec = head_pod(of, APool().build(), {})["spec"]
    assert "initContainers" not in spec
    assert [volume["name"] for volume in spec["volumes"]] == ["tmp", "cache"]


def test_it_is_told_all_that_decides_the_bytes() -> None:
    of = model("https://h/m.tar", sha256="a" * 64)
    pool = APool().having(allowPickledWeights=True).build()
    told = FetchArgs.model_validate(json.loads(environment(fetch(of, pool))["LLMSERVICE_FETCH"]))
    assert told.source == Source(uri="https://h/m.tar", sha256="a" * 64, pickles=True)
    assert (told.root, told.port, told.termination_log) == ("/cache/models", 8091, "/dev/termination-log")


def test_the_engine_is_given_the_directory_that_is_filled() -> None:
    of = model("hf://o/m", revision="abc", endpoint="https://mirror.example.com")
    pool = APool().build()
    told = FetchArgs.model_validate(json.loads(environment(fetch(of, pool))["LLMSERVICE_FETCH"]))
    assert local_source(of, pool) == told.source.directory(told.root)


@pytest.mark.parametrize(
    ("source", "keys"),
    [("hf://o/m", ["token"]), ("s3://bucket/m", AWS), ("gs://bucket/m", AWS), ("https://h/m.tar", [])],
)
def test_credentials_reach_it_alone_as_files_that_may_come_later(source: str, keys: list[str]) -> None:
    digest = {"sha256": "0" * 64} if source.startswith("http") else {}
    spec = worker(model(source, credentialsSecretRef={"name": "own"}, **digest))
    secrets = [volume for volume in spec["volumes"] if "secret" in volume]
    items = [{"key": key, "path": key} for key in keys]
    assert [volume["secret"] for volume in secrets] == (
        [{"secretName": "own", "optional": True, "items": items}] if keys else []
    )
    for volume in secrets:
        mount = {"name": volume["name"], "mountPath": "/credentials", "readOnly": True}
        assert mount in spec["initContainers"][0]["volumeMounts"]
    (engine,) = spec["containers"]
    assert "/credentials" not in [mount["mountPath"] for mount in engine["volumeMounts"]]
    assert not set(environment(engine)) & {"HF_TOKEN", *AWS}
    assert environment(engine)["HF_HUB_OFFLINE"] == "1"


def test_a_public_source_needs_no_secret() -> None:
    assert all("secret" not in volume for volume in worker(model())["volumes"])


def test_it_is_as_restricted_as_the_engine() -> None:
    (engine,) = worker(model())["containers"]
    container = fetch(model())
    assert container["securityContext"] == engine["securityContext"]
    assert container["image"] == engine["image"]
    assert container["ports"] == [{"containerPort": 8091, "name": "progress"}]
    assert set(container["resources"]["limits"]) == {"memory"}


def test_without_a_claim_the_pods_own_volume_is_filled() -> None:
    assert [mount["mountPath"] for mount in fetch(model())["volumeMounts"]] == ["/tmp", "/cache"]
    assert all("persistentVolumeClaim" not in volume for volume in worker(model())["volumes"])


def test_a_claim_is_written_by_the_fetcher_and_read_by_the_engine() -> None:
    spec = worker(model(cacheClaim="cache"))
    claims = [volume for volume in spec["volumes"] if "persistentVolumeClaim" in volume]
    assert [volume["persistentVolumeClaim"] for volume in claims] == [{"claimName": "cache"}]
    mount = {"name": claims[0]["name"], "mountPath": "/cache/models"}
    assert mount in spec["initContainers"][0]["volumeMounts"]
    assert mount | {"readOnly": True} in spec["containers"][0]["volumeMounts"]
