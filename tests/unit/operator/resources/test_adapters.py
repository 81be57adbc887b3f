"""What a worker pod is given for adapters."""

from typing import Any

import pytest

from llmservice_api.llmservice import LLMServiceSpec
from llmservice_operator.resources.adapters import adapter_claims, with_adapters
from llmservice_operator.resources.pods import worker_pod
from llmservice_operator.resources.worker_args import live_args
from tests.unit.operator.builders import APool

Json = dict[str, Any]


def spec(*sources: str, model: str = "pvc://models/m", folder: str | None = None, **fields: Any) -> LLMServiceSpec:
    """A service with an adapter of each source, and a folder of dynamic ones."""
    adapters = [{"name": f"a{number}", "source": source} for number, source in enumerate(sources)]
    dynamic = {"dynamicAdapters": {"source": folder}} if folder else {}
    return LLMServiceSpec.model_validate({"model": {"source": model, **fields}, "adapters": adapters, **dynamic})


def pods(of: LLMServiceSpec) -> tuple[Json, Json]:
    """The pod before and after."""
    before = worker_pod(of.model, APool().build(), 1, {})
    return before["spec"], with_adapters(before, of)["spec"]


@pytest.mark.parametrize(
    ("of", "claims"),
    [
        (spec(), []),
        (spec("pvc://models/a", folder="pvc://models"), []),
        (spec("pvc://b/x", "pvc://b/y", "pvc://models/a", "s3://bucket/a", folder="pvc://a/all"), ["a", "b"]),
        (spec("pvc://models/a", model="hf://org/m"), ["models"]),
    ],
)
def test_each_claim_that_the_model_is_not_on_is_mounted_once_for_reading(of: LLMServiceSpec, claims: list[str]) -> None:
    before, after = pods(of)
    assert adapter_claims(of) == claims
    (engine,), (engine_before,) = after["containers"], before["containers"]
    new = [mount for mount in engine["volumeMounts"] if mount not in engine_before["volumeMounts"]]
    assert [(mount["mountPath"], mount["readOnly"]) for mount in new] == [(f"/models/{each}", True) for each in claims]
    volumes = {volume["name"]: volume for volume in after["volumes"]}
    assert len(volumes) == len(after["volumes"])
    assert [volumes[mount["name"]]["persistentVolumeClaim"]["claimName"] for mount in new] == claims


def test_without_adapters_a_pod_is_as_it_was() -> None:
    before, after = pods(spec())
    assert before == after


AWS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"]
SECRET: Json = {"credentialsSecretRef": {"name": "s"}}


@pytest.mark.parametrize(
    ("of", "keys", "names"),
    [
        (spec("pvc://models/a", **SECRET), [], []),
        (spec("pvc://models/a", model="hf://o/m", **SECRET), [], []),
        (spec("hf://o/a"), [], []),
        (spec("hf://o/a", "hf://o/b", **SECRET), ["token"], []),
        (spec(folder="gs://bucket/all", **SECRET), AWS, []),
        (spec("s3://bucket/a", "gs://bucket/b", endpoint="http://s3"), [],
         ["LLMSERVICE_ADAPTERS_S3_ENDPOINT"]),
        (spec("hf://o/a", "s3://bucket/a", model="hf://o/m", endpoint="http://hub", **SECRET),
         ["token", *AWS], ["LLMSERVICE_ADAPTERS_HF_ENDPOINT"]),
        (spec("s3://bucket/a", model="hf://o/m", endpoint="http://hub"), [], []),
    ],
)  # fmt: skip
def test_what_is_fetched_has_the_models_credentials_as_files_and_its_endpoint(
    of: LLMServiceSpec, keys: list[str], names: list[str]
) -> None:
    before, after = pods(of)
    new = [volume for volume in after["volumes"] if volume not in before["volumes"]]
    secrets = {volume["name"]: volume["secret"] for volume in new if "secret" in volume}
    mounts = after["containers"][0]["volumeMounts"]
    paths = {mount["name"]: mount["mountPath"] for mount in mounts if "credentials" in mount["name"]}
    items = [{"key": key, "path": key} for key in keys]
    assert list(secrets.values()) == ([{"secretName": "s", "optional": True, "items": items}] if keys else [])
    assert paths == dict.fromkeys(secrets, "/credentials")
    known = before["containers"][0]["env"]
    assert [each["name"] for each in after["containers"][0]["env"] if each not in known] == names


def test_replicas_are_told_as_they_run() -> None:
    told = live_args(spec("pvc://models/a", folder="pvc://models/all/")).user_config
    assert [(each.name, each.source) for each in told.adapters] == [("a0", "pvc://models/a")]
    assert told.dynamic_adapters == "pvc://models/all"
