import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmservice_worker.sources import problem

NAMED = "pvc://claim/m"


def safetensors(size: int = 16, **header: Any) -> bytes:
    tensors = header or {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "__metadata__": {"format": "pt"}}
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * size


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A sound model directory."""
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    return tmp_path


def test_a_sound_directory_has_no_problem(model: Path) -> None:
    assert problem(str(model), NAMED) is None


def test_a_hubs_name_is_left_to_the_engine() -> None:
    assert problem("org/name", "hf://org/name") is None


def remove(name: str) -> Callable[[Path], object]:
    return lambda model: (model / name).unlink()


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda model: (model / name).write_bytes(content)


def index(weights: Any) -> Callable[[Path], object]:
    return write("model.safetensors.index.json", json.dumps(weights).encode())


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (remove("config.json"), "has no config.json (found: model.safetensors, tokenizer.json)"),
        (write("config.json", b"{"), "has no JSON object in its config.json"),
        (write("config.json", b"[1]"), "has no JSON object in its config.json"),
        (write("config.json", b"[" * 100_000), "has no JSON object in its config.json"),
        (write("config.json", b"{}"), "names no architectures in its config.json"),
        (remove("tokenizer.json"), "has no tokenizer (found: config.json, model.safetensors)"),
        (remove("model.safetensors"), "has no weights as *.safetensors (found: config.json, tokenizer.json)"),
        (index({"weight_map": {"a": "x-2.safetensors", "b": "x-1.safetensors", "c": "model.safetensors"}}),
         "lacks 2 file(s) of its index: x-1.safetensors, x-2.safetensors"),
        (index({}), "has a model.safetensors.index.json without a weight_map"),
        (write("model.safetensors", b""), "has a corrupt model.safetensors: 0 bytes are no safetensors file"),
        (write("model.safetensors", b"version https://git-lfs.example/spec/v1\n" * 3),
         "has a corrupt model.safetensors: its header is not one of a safetensors file"),
        (write("model.safetensors", safetensors(size=9)), "has a corrupt model.safetensors: "),
        (write("model.safetensors", safetensors(w=3)), "its header is not one of a safetensors file"),
    ],
)  # fmt: skip
def test_each_problem_is_named_by_its_owners_words(model: Path, harm: Callable[[Path], object], said: str) -> None:
    harm(model)
    found = problem(str(model), NAMED)
    assert found is not None
    assert found.startswith(f"model source {NAMED} ")
    assert said in found
    assert str(model) not in found


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert problem(str(tmp_path / "x"), NAMED) == f"model source {NAMED} does not exist in the volume"
    (tmp_path / "file").write_text("")
    assert problem(str(tmp_path / "file"), NAMED) == f"model source {NAMED} is not a directory of the volume"


def test_a_long_listing_is_cut(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"f{number:02}").touch()
    found = problem(str(tmp_path), NAMED)
    assert found is not None
    assert found.endswith("f07 and 12 more)")
