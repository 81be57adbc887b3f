from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmservice_worker.adapters.checks import Base, base_tensors, fault
from llmservice_worker.tensor_files import Tensor
from tests.unit.worker.adapters.directories import adapter, safetensors, weights

NAMED = "pvc://models/legal"
MODEL = {"model.layers.0.self_attn.q_proj.weight": Tensor("BF16", (6, 8))}
BASE = Base(max_rank=16, tensors=MODEL)

Harm = Callable[[Path], object]


def write(name: str, content: bytes) -> Harm:
    return lambda directory: (directory / name).write_bytes(content)


def remove(name: str) -> Harm:
    return lambda directory: (directory / name).unlink()


def config(**parts: Any) -> Harm:
    return lambda directory: adapter(directory, **parts)


def model(content: bytes) -> Harm:
    return lambda directory: adapter(directory, content)


def only_pickle(directory: Path) -> None:
    (directory / "adapter_model.safetensors").rename(directory / "adapter_model.bin")


@pytest.mark.parametrize("base", [BASE, Base(16), Base(2, {"other.weight": Tensor("F32", (1, 1))})])
def test_a_sound_adapter_has_no_fault(tmp_path: Path, base: Base) -> None:
    assert fault(adapter(tmp_path), base, NAMED) is None


def test_packed_weights_have_no_shape_to_compare_with(tmp_path: Path) -> None:
    packed = Base(16, {name: Tensor("I32", (1, 1)) for name in MODEL})
    assert fault(adapter(tmp_path), packed, NAMED) is None


@pytest.mark.parametrize(
    ("harm", "reason", "said"),
    [
        (remove("adapter_config.json"), "SourceNotFound",
         "has no adapter_config.json (found: adapter_model.safetensors): name an adapter's own folder"),
        (write("adapter_config.json", b"{"), "Corrupt", "has no JSON object in its adapter_config.json"),
        (write("adapter_config.json", b"[1]"), "Corrupt", "has no JSON object in its adapter_config.json"),
        (write("adapter_config.json", b"\xff"), "Corrupt", "has no JSON object in its adapter_config.json"),
        (config(peft_type="LOHA"), "NotSupported", "has peft_type 'LOHA'; only LORA can be served"),
        (config(peft_type=None), "NotSupported", "has peft_type None; only LORA can be served"),
        (config(use_dora=True), "NotSupported", "uses DoRA"),
        (config(bias="all"), "NotSupported", "trains biases ('all')"),
        (config(modules_to_save=["lm_head"]), "NotSupported", "saves whole modules"),
        (config(r=17), "NotSupported", "has rank 17, over the engine's 16: raise spec.engine.args.maxLoraRank"),
        *((config(r=r), "Corrupt", "which is no positive number") for r in (0, -1, "8", True, None)),
        *((config(target_modules=t), "Corrupt", "names no target_modules") for t in (None, [], "", [1])),
        (only_pickle, "WeightsNotAllowed",
         "has no adapter_model.safetensors (found: adapter_config.json, adapter_model.bin): save it as safetensors"),
        (model(b""), "Corrupt", "has a corrupt adapter_model.safetensors: 0 bytes are no safetensors file"),
        (model(weights()[:-1]), "Corrupt", "has a corrupt adapter_model.safetensors: "),
        (model(safetensors({"w": [2, 2]})), "Corrupt", "has no LoRA weights"),
        (model(weights(rank=32)), "NotSupported", "has rank 32, over the engine's 16"),
        (model(weights(inputs=9)), "NotSupported",
         "is of another model: model.layers.0.self_attn.q_proj has 9 inputs where this model has 8"),
        (model(weights(outputs=5)), "NotSupported",
         "is of another model: model.layers.0.self_attn.q_proj has 5 outputs where this model has 6"),
    ],
)  # fmt: skip
def test_each_fault_is_named_by_its_owners_words(tmp_path: Path, harm: Harm, reason: str, said: str) -> None:
    harm(adapter(tmp_path))
    found = fault(tmp_path, BASE, NAMED)
    assert found is not None
    assert found.reason == reason
    assert found.message.startswith(f"adapter source {NAMED} ")
    assert said in found.message
    assert str(tmp_path) not in found.message


@pytest.mark.parametrize(
    ("make", "said"), [(Path.exists, "does not exist in the volume"), (Path.touch, "is not a directory of the volume")]
)
def test_a_directory_that_is_none_is_not_found(tmp_path: Path, make: Harm, said: str) -> None:
    make(tmp_path / "x")
    found = fault(tmp_path / "x", BASE, NAMED)
    assert found is not None
    assert (found.reason, found.message) == ("SourceNotFound", f"adapter source {NAMED} {said}")


def test_the_models_tensors_are_read_from_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(safetensors({"a": [1, 2]}))
    (tmp_path / "b.safetensors").write_bytes(safetensors({"b": [3, 4]}))
    (tmp_path / "c.safetensors").write_bytes(b"none")
    assert base_tensors(tmp_path) == {"a": Tensor("F32", (1, 2)), "b": Tensor("F32", (3, 4))}
