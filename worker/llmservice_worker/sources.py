"""Cheap checks of a local model directory, before an engine is started for it: a named statement each.

A check is a function `(directory) -> what is wrong, or None`; it reads headers, never the weights themselves.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from llmservice_worker.directory_checks import (
    directory_is_missing,
    file_is_missing,
    json_object,
    listed,
    listing,
    object_is_unreadable,
)
from llmservice_worker.tensor_files import CorruptFile, tensors

Check = Callable[[Path], str | None]

_CONFIG: Final = "config.json"
_TOKENIZERS: Final = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "tekken.json")


def problem(source: str, named: str, pickles: bool = False) -> str | None:
    """What keeps the model at `source` from being served, in words that use its owner's name for it; None: nothing.

    A source that is not an absolute path is a hub's org/name, which only the engine can check. `pickles`: whether
    weights in other formats than safetensors will do.
    """
    if not source.startswith("/"):
        return None
    checks = [check for check in CHECKS if not (pickles and check is weights_are_missing)]
    found = next((wrong for check in checks if (wrong := check(Path(source))) is not None), None)
    return None if found is None else f"model source {named} {found}"


def config_is_missing(directory: Path) -> str | None:
    """Every Hugging Face model has a config.json."""
    return file_is_missing(directory, _CONFIG)


def config_is_unreadable(directory: Path) -> str | None:
    """config.json must be a JSON object that names its architecture."""
    unreadable = object_is_unreadable(directory, _CONFIG)
    if unreadable is not None or (json_object(directory / _CONFIG) or {}).get("architectures"):
        return unreadable
    return f"names no architectures in its {_CONFIG}"


def tokenizer_is_missing(directory: Path) -> str | None:
    """vLLM tokenizes on the server."""
    if any((directory / name).is_file() for name in _TOKENIZERS):
        return None
    return f"has no tokenizer (found: {listing(directory)})"


def weights_are_missing(directory: Path) -> str | None:
    """Weights are served from safetensors."""
    if any(directory.glob("*.safetensors")):
        return None
    return f"has no weights as *.safetensors (found: {listing(directory)})"


def shards_are_missing(directory: Path) -> str | None:
    """All files that the weights' index names."""
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return None
    names = (json_object(index) or {}).get("weight_map")
    if not isinstance(names, dict):
        return "has a model.safetensors.index.json without a weight_map"
    missing = sorted({str(name) for name in names.values() if not (directory / str(name)).is_file()})
    return f"lacks {len(missing)} file(s) of its index: {listed(missing)}" if missing else None


def weights_are_cut_short(directory: Path) -> str | None:
    """Each safetensors file has a sound header and as many bytes as that says."""
    for file in sorted(directory.glob("*.safetensors")):
        try:
            tensors(file)
        except CorruptFile as error:
            return f"has a corrupt {file.name}: {error}"
    return None


CHECKS: Final[Sequence[Check]] = (
    directory_is_missing,
    config_is_missing,
    config_is_unreadable,
    tokenizer_is_missing,
    weights_are_missing,
    shards_are_missing,
    weights_are_cut_short,
)
