"""Adapters on disk, small enough to be written for each test."""

import json
import struct
from pathlib import Path
from typing import Any

Q = "base_model.model.model.layers.0.self_attn.q_proj"
CONFIG: dict[str, Any] = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none"}


def weights(rank: int = 2, inputs: int = 8, outputs: int = 6, module: str = Q) -> bytes:
    """A safetensors file with one pair of LoRA matrices, all zeros."""
    shapes = {f"{module}.lora_A.weight": [rank, inputs], f"{module}.lora_B.weight": [outputs, rank]}
    return safetensors(shapes)


def safetensors(shapes: dict[str, list[int]], dtype: str = "F32") -> bytes:
    """A safetensors file of zeros."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * end


def adapter(directory: Path, content: bytes | None = None, **config: Any) -> Path:
    """A sound adapter, but for what is said otherwise; the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "adapter_config.json").write_text(json.dumps(CONFIG | config))
    (directory / "adapter_model.safetensors").write_bytes(weights() if content is None else content)
    return directory
