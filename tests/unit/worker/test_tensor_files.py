import json
import struct
from pathlib import Path

import pytest

from llmservice_worker.tensor_files import CorruptFile, Tensor, tensors


def file(header: object, size: int) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * size


WEIGHT = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def test_names_types_and_shapes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(file({"w": WEIGHT, "__metadata__": {"format": "pt"}}, 16))
    assert tensors(path) == {"w": Tensor("F32", (2, 2))}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "0 bytes are no safetensors file"),
        (b"\xff" * 64, "its header is not one"),
        (file({"w": WEIGHT}, 15), "where its header says"),
        (file({"w": WEIGHT}, 17), "where its header says"),
        (file({"w": {"dtype": "F32", "shape": 4, "data_offsets": [0, 16]}}, 16), "its header is not one"),
        (file({"w": {"dtype": "F32", "shape": [4]}}, 16), "its header is not one"),
        (file([1], 16), "its header is not one"),
    ],
)
def test_what_is_not_sound_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match=said):
        tensors(path)


def test_a_missing_file_is_said_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(CorruptFile) as refused:
        tensors(tmp_path / "a.safetensors")
    assert str(refused.value) == "cannot be read: No such file or directory"
