"""Writes small LoRA adapters for tests: random, and strong enough that each changes what the model says.

usage: python -m hack.models.lora_adapter MODEL DESTINATION SEED
"""

import json
import random
import struct
import sys
from array import array
from pathlib import Path
from typing import Any, Final

RANK: Final = 8
_MODULES: Final = ("self_attn.q_proj", "self_attn.o_proj")
"""Square in every Llama whose heads fill its width, so that no further size is needed."""


def write(model: Path, destination: Path, seed: int, strength: float = 6.0) -> Path:
    """An adapter as PEFT saves it, for a Llama in `model`; the same for the same seed. Returns `destination`."""
    config = json.loads((model / "config.json").read_text())
    width, layers = config["hidden_size"], config["num_hidden_layers"]
    chance = random.Random(seed)
    tensors = {
        f"base_model.model.model.layers.{layer}.{module}.lora_{side}.weight": (shape, spread)
        for layer in range(layers)
        for module in _MODULES
        for side, shape, spread in (("A", (RANK, width), 1.0), ("B", (width, RANK), strength))
    }
    destination.mkdir(parents=True, exist_ok=True)
    (destination / "adapter_config.json").write_text(json.dumps(_config(), indent=1))
    (destination / "adapter_model.safetensors").write_bytes(_safetensors(tensors, chance))
    return destination


def _config() -> dict[str, Any]:
    targets = sorted(module.rpartition(".")[2] for module in _MODULES)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": RANK,
        "target_modules": targets,
        "bias": "none",
    }


def _safetensors(tensors: dict[str, tuple[tuple[int, int], float]], chance: random.Random) -> bytes:
    header: dict[str, Any] = {}
    data = bytearray()
    for name, (shape, spread) in tensors.items():
        values = array("f", (chance.gauss(0, spread / shape[1] ** 0.5) for _ in range(shape[0] * shape[1])))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
