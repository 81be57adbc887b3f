from typing import Any

import pytest
from pydantic import ValidationError

from llmservice_worker.args import EngineExtra, LiveArgs, Scaling, WorkerArgs

LEAST: dict[str, Any] = {"model_id": "m", "source": "/models/c/m"}


def test_the_least_that_is_told() -> None:
    args = WorkerArgs.model_validate(LEAST)
    assert (args.aliases, args.accelerator, args.cpus, args.engine.tensor_parallel_size) == ((), None, 1.0, 1)
    assert args.named_source == "/models/c/m"


def test_json_and_back() -> None:
    told = {
        **LEAST,
        "aliases": ["gpt-4o-mini", "org/name"],
        "source_uri": "pvc://c/m",
        "engine": {"max_model_len": 2048, "extra": {"max_num_seqs": 8}},
        "kv_cache_gib": 1,
    }
    args = WorkerArgs.model_validate(told)
    assert WorkerArgs.model_validate_json(args.model_dump_json()) == args
    assert args.named_source == "pvc://c/m"


@pytest.mark.parametrize(
    "change",
    [
        {"model_id": ""},
        {"model_id": "a b"},
        {"model_id": "../x"},
        {"model_id": "a\r\nX: y"},
        {"model_id": "x" * 129},
        {"aliases": ["m"]},
        {"aliases": ["a", "a"]},
        {"aliases": ["a"] * 17},
        {"source": ""},
        {"cpus": 0},
        {"cpus": float("nan")},
        {"kv_cache_gib": 0},
        {"kv_cache_gib": "1"},
        {"host": "0.0.0.0"},
        {"engine": {"api_key": "x"}},
        {"engine": {"max_model_len": 0}},
        {"engine": {"max_model_len": True}},
        {"engine": {"max_model_len": 2**31}},
        {"engine": {"tensor_parallel_size": 65}},
        {"engine": {"dtype": "int8"}},
        {"engine": {"quantization": "--x $(y);"}},
        {"engine": {"extra": {"trust_remote_code": True}}},
        {"engine": {"extra": {"max_num_seqs": "8"}}},
        {"engine": {"extra": {"tool_call_parser": "a;b"}}},
        {"engine": {"extra": {"gpu_memory_utilization": 1.5}}},
    ],
)
def test_what_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WorkerArgs.model_validate({**LEAST, **change})


@pytest.mark.parametrize(
    "scaling",
    [
        {"min_replicas": 2, "max_replicas": 1},
        {"min_replicas": -1},
        {"max_replicas": 0},
        {"max_replicas": 2**31},
        {"target_queue_depth": 0},
        {"target_queue_depth": float("inf")},
        {"up_delay_s": -1},
        {"down_delay_s": float("nan")},
    ],
)
def test_scaling_that_is_refused(scaling: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Scaling.model_validate(scaling)


def test_nothing_live_is_unbounded() -> None:
    for least in ({"user_config": {"max_requests": 0}}, {"drain_s": -1}):
        with pytest.raises(ValidationError, match="greater than or equal"):
            LiveArgs.model_validate(least)


def test_every_extra_argument_is_described_and_off_by_default() -> None:
    for name, field in EngineExtra.model_fields.items():
        assert field.description, name
        assert field.default is None, name


@pytest.mark.parametrize(
    ("uri", "mounted"), [(None, True), ("pvc://models/m", True), ("s3://bucket/m", False), ("hf://org/m", False)]
)
def test_only_a_mounted_model_is_in_every_pod(uri: str | None, mounted: bool) -> None:
    assert WorkerArgs(model_id="m", source="/models/m", source_uri=uri).is_mounted is mounted
