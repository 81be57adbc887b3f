"""Memory of well-known models, from their public config.json and the sizes of their files."""

import math
from typing import Any

import pytest

from llmservice_api.gpupool import Accelerator
from llmservice_api.llmservice import LLMServiceSpec
from llmservice_operator.memory import Shape, fewest, least, needed, remembered, shape, to_wire

Json = dict[str, Any]


def a_config(layers: int, heads: int, kv: int, head: int, longest: int, **more: Any) -> Json:
    return {
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "head_dim": head,
        "max_position_embeddings": longest,
        "torch_dtype": "bfloat16",
    } | more


AWQ = {"quantization_config": {"quant_method": "awq"}}
FP8 = {"quantization_config": {"quant_method": "fp8"}}
MLA = {"kv_lora_rank": 512, "qk_rope_head_dim": 64}
MODELS: dict[str, tuple[Json, int]] = {
    "Qwen2.5-0.5B": (a_config(24, 14, 2, 64, 32768), 988_097_824),
    "Phi-3-mini-4k": (a_config(32, 32, 32, 96, 4096), 7_642_181_880),
    "Mistral-7B-v0.3": (a_config(32, 32, 8, 128, 32768), 14_496_078_512),
    "Llama-3.1-8B": (a_config(32, 32, 8, 128, 131072), 16_060_556_376),
    "Qwen3-8B": (a_config(36, 32, 8, 128, 40960), 16_381_516_776),
    "gemma-2-9b-it": (a_config(42, 16, 8, 256, 8192), 18_483_482_664),
    "Qwen3-32B": (a_config(64, 64, 8, 128, 40960), 65_524_297_360),
    "Mixtral-8x7B": (a_config(32, 32, 8, 128, 32768), 93_405_618_184),
    "Llama-3.1-70B": (a_config(80, 64, 8, 128, 131072), 141_107_497_872),
    "Qwen2.5-72B-AWQ": (a_config(80, 64, 8, 128, 32768, **AWQ), 41_613_000_000),
    "Llama-3.1-405B": (a_config(126, 128, 8, 128, 131072), 811_706_000_000),
    "DeepSeek-V3": (a_config(61, 128, 128, 128, 163840, **MLA, **FP8), 688_586_000_000),
}
COUNTS = {
    "Qwen2.5-0.5B": {24: 1, 80: 1},
    "Phi-3-mini-4k": {24: 1},
    "Mistral-7B-v0.3": {16: 2, 24: 1},
    "Llama-3.1-8B": {16: 2, 24: 1, 40: 1},
    "Qwen3-8B": {24: 1},
    "gemma-2-9b-it": {24: 2, 40: 1},
    "Qwen3-32B": {24: 4, 48: 2, 80: 1},
    "Mixtral-8x7B": {24: 8, 80: 2},
    "Llama-3.1-70B": {24: 8, 80: 2, 141: 2},
    "Qwen2.5-72B-AWQ": {24: 4, 48: 2, 80: 1},
    "Llama-3.1-405B": {80: 16, 141: 8},
    "DeepSeek-V3": {80: 16, 141: 8},
}
TABLE = [(name, memory, count) for name, counts in COUNTS.items() for memory, count in counts.items()]


def of(name: str) -> Shape:
    return shape(*MODELS[name])


def spec(**engine: Any) -> LLMServiceSpec:
    return LLMServiceSpec.model_validate({"model": {"source": "hf://o/m"}, "engine": engine})


def gpus(memory: int, per_node: int = 16) -> Accelerator:
    return Accelerator(memory=f"{memory}Gi", per_node=per_node)


@pytest.mark.parametrize(("name", "memory", "count"), TABLE)
def test_how_many_accelerators_a_model_takes(name: str, memory: int, count: int) -> None:
    assert fewest(spec(), of(name), gpus(memory)) == count


@pytest.mark.parametrize(
    ("name", "per_token"),
    [("Llama-3.1-8B", 131_072), ("Llama-3.1-70B", 327_680), ("Qwen2.5-0.5B", 12_288), ("DeepSeek-V3", 70_272)],
)
def test_what_the_cache_keeps_of_one_token(name: str, per_token: int) -> None:
    assert of(name).cached * 2 == per_token


ENGINES: dict[str, tuple[Json, str, float]] = {
    "as it is": ({}, "Llama-3.1-8B", 14.96 + 2.0 + 2),
    "one long request": ({"maxModelLen": 131072}, "Llama-3.1-8B", 14.96 + 16.0 + 2),
    "short ones": ({"maxModelLen": 1024}, "Llama-3.1-8B", 14.96 + 0.5 + 2),
    "a smaller cache": ({"args": {"kvCacheDtype": "fp8"}}, "Llama-3.1-8B", 14.96 + 1.0 + 2),
    "quantized at loading": ({"quantization": "fp8"}, "Llama-3.1-8B", 7.48 + 2.0 + 2),
    "twice as wide": ({"dtype": "float32"}, "Llama-3.1-8B", 29.91 + 4.0 + 2),
    "quantized files": ({"quantization": "awq"}, "Qwen2.5-72B-AWQ", 38.76 + 5.0 + 2),
    "declared": ({"memory": "20Gi"}, "Llama-3.1-8B", 20.0),
}


@pytest.mark.parametrize(("engine", "name", "gib"), ENGINES.values(), ids=ENGINES)
def test_what_the_engine_is_told_changes_what_it_needs(engine: Json, name: str, gib: float) -> None:
    assert needed(spec(**engine), of(name), 1) / 2**30 == pytest.approx(gib, abs=0.05)


def test_files_of_32_bits_are_loaded_as_16() -> None:
    wide = shape(MODELS["Llama-3.1-8B"][0] | {"torch_dtype": "float32"}, 32_121_000_000)
    assert needed(spec(), wide, 1) == pytest.approx(needed(spec(), of("Llama-3.1-8B"), 1), rel=0.01)


def test_more_accelerators_than_kv_heads_hold_each_a_copy_of_a_head() -> None:
    two_heads = Shape(0, 16, 2**20, 2, 16, 4096)
    assert needed(spec(), two_heads, 8) == needed(spec(), two_heads, 2)


@pytest.mark.parametrize(
    ("engine", "per_node", "count"),
    [
        ({}, 1, None),
        ({"tensorParallel": 4}, 8, 4),
        ({"tensorParallel": 1}, 8, None),
        ({"pipelineParallel": 2}, 1, 1),
        ({"memory": "10Gi"}, 1, 1),
    ],
)
def test_what_the_spec_says_is_held_to(engine: Json, per_node: int, count: int | None) -> None:
    assert fewest(spec(**engine), of("Llama-3.1-70B"), gpus(80, per_node)) == count


def test_heads_that_cannot_be_split_are_not() -> None:
    assert fewest(spec(), of("Qwen2.5-0.5B"), gpus(2)) is None  # 14 heads: 2 accelerators at most
    assert least(spec(), of("Llama-3.1-70B"), gpus(24)) == 8


def test_nothing_is_known_of_an_unknown_model() -> None:
    assert (needed(spec(), None, 1), fewest(spec(), None, gpus(24))) == (0, 1)


POOR: list[Json] = [{}, {"num_hidden_layers": 2}, {"n_layer": 12}, {"text_config": {"num_attention_heads": "x"}}]


@pytest.mark.parametrize("config", POOR)
def test_a_config_that_does_not_say_enough(config: Json) -> None:
    with pytest.raises(ValueError):
        shape(config, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_attention_heads": 0},
        {"num_attention_heads": math.inf},
        {"num_key_value_heads": -1},
        {"head_dim": -64},
        {"max_position_embeddings": 0},
        {"num_hidden_layers": -1},
    ],
    ids=str,
)
def test_a_config_that_no_model_can_have(wrong: Json) -> None:
    with pytest.raises(ValueError, match=r"config\.json"):
        shape(a_config(4, 8, 2, 64, 4096) | wrong, 1)


def test_of_a_model_that_sees_its_language_part_counts_and_of_a_hybrid_its_attention() -> None:
    inner = a_config(4, 8, 2, 64, 4096)
    assert shape({"text_config": inner, "torch_dtype": "float16"}, 1).cached == 4 * 2 * 2 * 64
    kinds = ["linear_attention", "linear_attention", "linear_attention", "full_attention"]
    assert shape(inner | {"layer_types": kinds}, 1).cached == 1 * 2 * 2 * 64


def test_a_shape_is_remembered_of_its_model_only() -> None:
    model = spec().model
    status = {"model": {"name": "m", "shape": to_wire(of("Qwen3-8B"), model)}}
    assert remembered(status, model) == of("Qwen3-8B")
    assert remembered(status, model.model_copy(update={"revision": "abc"})) is None
    assert remembered({}, model) is None
