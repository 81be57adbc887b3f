"""The header of a safetensors file: what tensors it holds, read without the tensors themselves."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_HEADER_LIMIT: Final = 100 * 1024 * 1024
_NO_HEADER: Final = "its header is not one of a safetensors file"


class CorruptFile(ValueError):
    """The file is none, is cut short, or cannot be read; the message goes on from the file's name."""


@dataclass(frozen=True)
class Tensor:
    """One tensor: its data type by safetensors' names (`BF16`) and its shape."""

    dtype: str
    shape: tuple[int, ...]


def tensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors of the file by name; raises CorruptFile unless header and length are sound."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            if len(head) < 8:
                raise CorruptFile(f"{size} bytes are no safetensors file")
            length = struct.unpack("<Q", head)[0]
            if length > min(_HEADER_LIMIT, size - 8):
                raise CorruptFile(_NO_HEADER)
            content = file.read(length)
    except OSError as error:
        raise CorruptFile(f"cannot be read: {error.strerror}") from None
    found, end = _parsed(content)
    wanted = 8 + length + end
    if size != wanted:
        raise CorruptFile(f"{size} bytes where its header says {wanted}")
    return found


def _parsed(content: bytes) -> tuple[dict[str, Tensor], int]:
    """The header's tensors, and where the data of the last one ends."""
    try:
        header: dict[str, Any] = json.loads(content)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        found = {name: Tensor(str(entry["dtype"]), tuple(map(int, entry["shape"]))) for name, entry in entries.items()}
        return found, max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise CorruptFile(_NO_HEADER) from None
