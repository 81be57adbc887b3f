"""Cheap checks of an adapter's directory, before the engine is asked to load it: a named statement each.

A check is a function `(directory, base) -> what is wrong, or None`; it reads headers, never the weights themselves.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from llmservice_worker import directory_checks
from llmservice_worker.fetch.failure import Reason
from llmservice_worker.tensor_files import CorruptFile, Tensor, tensors

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
FILES: Final = (CONFIG, WEIGHTS)
"""What an engine loads; nothing else of an adapter's directory is looked at."""

_PREFIX: Final = "base_model.model."
_LORA_A: Final = ".lora_A.weight"
_LORA_B: Final = ".lora_B.weight"
_PLAIN: Final = ("F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""Data types whose tensors have the shape of what they stand for; packed weights have not."""


class Fault(Exception):
    """Why an adapter cannot be served: `reason` in one word, and a message with what to do."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Base:
    """What an adapter must fit: the engine's largest rank, and the model's tensors as far as they are known."""

    max_rank: int
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


Check = Callable[[Path, Base], Fault | None]


def fault(directory: Path, base: Base, named: str) -> Fault | None:
    """What keeps the adapter in `directory` from being served, in words that use its owner's name for it."""
    found = next((wrong for check in CHECKS if (wrong := check(directory, base)) is not None), None)
    return None if found is None else Fault(found.reason, f"adapter source {named} {found.message}")


def directory_is_missing(directory: Path, _: Base) -> Fault | None:
    """No such directory, or not readable."""
    wrong = directory_checks.directory_is_missing(directory)
    return None if wrong is None else Fault(Reason.SOURCE_NOT_FOUND, wrong)


def config_is_missing(directory: Path, _: Base) -> Fault | None:
    """Every adapter of PEFT's has an adapter_config.json."""
    wrong = directory_checks.file_is_missing(directory, CONFIG)
    return None if wrong is None else Fault(Reason.SOURCE_NOT_FOUND, f"{wrong}: name an adapter's own folder")


def config_is_unreadable(directory: Path, _: Base) -> Fault | None:
    """It must be a JSON object."""
    wrong = directory_checks.object_is_unreadable(directory, CONFIG)
    return None if wrong is None else Fault(Reason.CORRUPT, wrong)


def kind_is_not_supported(directory: Path, _: Base) -> Fault | None:
    """LoRA only, and of LoRA what the engine can apply."""
    config = _config(directory)
    if config.get("peft_type") != "LORA":
        return _unsupported(f"has peft_type {_said(config.get('peft_type'))}; only LORA can be served")
    if config.get("use_dora"):
        return _unsupported("uses DoRA, which cannot be served")
    if config.get("bias", "none") != "none":
        return _unsupported(f"trains biases ({_said(config['bias'])}); only bias none can be served")
    if config.get("modules_to_save"):
        return _unsupported("saves whole modules (modules_to_save), which cannot be served")
    return None


def rank_is_out_of_range(directory: Path, base: Base) -> Fault | None:
    """The engine reserves memory for a largest rank when it starts."""
    rank = _config(directory).get("r")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        return Fault(Reason.CORRUPT, f"has rank r {_said(rank)} in its {CONFIG}, which is no positive number")
    return _rank_over(rank, base)


def target_modules_are_missing(directory: Path, _: Base) -> Fault | None:
    """A list of names, or one expression."""
    targets = _config(directory).get("target_modules")
    if isinstance(targets, str) and targets:
        return None
    if isinstance(targets, list) and targets and all(isinstance(each, str) for each in targets):
        return None
    return Fault(Reason.CORRUPT, f"names no target_modules in its {CONFIG}")


def weights_are_missing(directory: Path, _: Base) -> Fault | None:
    """Safetensors only: the other formats can run code."""
    wrong = directory_checks.file_is_missing(directory, WEIGHTS)
    return None if wrong is None else Fault(Reason.WEIGHTS_NOT_ALLOWED, f"{wrong}: save it as safetensors")


def weights_are_corrupt(directory: Path, _: Base) -> Fault | None:
    """A sound header and as many bytes as that says."""
    try:
        found = tensors(directory / WEIGHTS)
    except CorruptFile as error:
        return Fault(Reason.CORRUPT, f"has a corrupt {WEIGHTS}: {error}")
    if any(name.endswith((_LORA_A, _LORA_B)) for name in found):
        return None
    return Fault(Reason.CORRUPT, f"has no LoRA weights in its {WEIGHTS}")


def weights_are_of_another_model(directory: Path, base: Base) -> Fault | None:
    """Each pair of matrices must fit the model's; the engine would take a smaller one without a word."""
    for name, tensor in sorted(tensors(directory / WEIGHTS).items()):
        if len(tensor.shape) != 2 or not name.endswith((_LORA_A, _LORA_B)):
            continue
        is_a = name.endswith(_LORA_A)
        if is_a and (over := _rank_over(tensor.shape[0], base)):
            return over
        module = name.removeprefix(_PREFIX).removesuffix(_LORA_A if is_a else _LORA_B)
        known = base.tensors.get(f"{module}.weight")
        if known is None or len(known.shape) != 2 or known.dtype not in _PLAIN:
            continue
        side, own, wanted = (
            ("inputs", tensor.shape[1], known.shape[1]) if is_a else ("outputs", tensor.shape[0], known.shape[0])
        )
        if own != wanted:
            return _unsupported(f"is of another model: {module} has {own} {side} where this model has {wanted}")
    return None


CHECKS: Final[Sequence[Check]] = (
    directory_is_missing,
    config_is_missing,
    config_is_unreadable,
    kind_is_not_supported,
    rank_is_out_of_range,
    target_modules_are_missing,
    weights_are_missing,
    weights_are_corrupt,
    weights_are_of_another_model,
)


def base_tensors(model: Path) -> Mapping[str, Tensor]:
    """The tensors of a model's directory by name; of files that are none, nothing."""
    return dict(_all_tensors(model))


def _all_tensors(model: Path) -> Iterator[tuple[str, Tensor]]:
    for file in sorted(model.glob("*.safetensors")):
        try:
            yield from tensors(file).items()
        except CorruptFile:
            continue


def _rank_over(rank: int, base: Base) -> Fault | None:
    if rank <= base.max_rank:
        return None
    return _unsupported(f"has rank {rank}, over the engine's {base.max_rank}: raise spec.engine.args.maxLoraRank")


def _unsupported(message: str) -> Fault:
    return Fault("NotSupported", message)


def _config(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    return found


def _said(value: Any) -> str:
    return repr(value)[:64]
