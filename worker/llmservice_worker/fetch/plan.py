"""Which files of a source are wanted: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from llmservice_worker.fetch.failure import FetchFailed, Reason

TEXTS: Final = frozenset({".json", ".txt", ".model", ".jinja", ".tiktoken", ".py", ".vocab", ".yaml"})
"""Configuration, tokenizer, templates, and code that only a model with trustRemoteCode runs."""
PICKLES: Final = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
CONFIGS: Final = frozenset({"config.json", "adapter_config.json"})
"""One of them is in the folder of every model or adapter."""
MOST_FILES: Final = 10_000

Algorithm = Literal["sha256", "md5", "git-sha1"]


@dataclass(frozen=True)
class Checksum:
    """What the source says of a file's content; `git-sha1`: of a git blob."""

    algorithm: Algorithm
    hex: str


@dataclass(frozen=True)
class RemoteFile:
    """One file of a source. `path`: relative, with `/`; `version`: changes with the content; `size` None: not said."""

    path: str
    size: int | None
    version: str = ""
    checksum: Checksum | None = None


def is_safe(path: str) -> bool:
    """Whether a path stays in the directory that it is laid under, and hides nothing."""
    parts = path.split("/")
    plain = bool(path) and "\\" not in path and path.isprintable()
    return plain and all(part and not part.startswith(".") for part in parts)


def wanted(files: Sequence[RemoteFile], pickles: bool, what: str) -> list[RemoteFile]:
    """The files that a model or adapter is loaded from: texts, and safetensors, or pickles where they are allowed.

    Raises FetchFailed: nothing there, only weights that are not allowed, or names that no directory may hold.
    """
    names = {file.path for file in files}
    if not names & CONFIGS:
        raise FetchFailed(
            Reason.SOURCE_NOT_FOUND,
            f"{what} has no config.json among its {len(files)} files: name the folder that holds the model",
        )
    chosen = [file for file in files if _is_text(file.path) or _is_weights(file.path, names)]
    if not any(_suffix(file.path) == ".safetensors" for file in chosen):
        unsafe = [file for file in files if _suffix(file.path) in PICKLES and "/" not in file.path]
        if unsafe and not pickles:
            raise FetchFailed(
                Reason.WEIGHTS_NOT_ALLOWED,
                f"{what} has its weights only as {', '.join(sorted(file.path for file in unsafe)[:4])}, which can run "
                "code: use a safetensors version, or a GPUPool with allowPickledWeights",
            )
        chosen += unsafe
    for file in chosen:
        if not is_safe(file.path):
            raise FetchFailed(Reason.CORRUPT, f"{what} has a file {file.path!r}, which leads out of its directory")
    if len(chosen) > MOST_FILES:
        raise FetchFailed(Reason.CORRUPT, f"{what} has {len(chosen)} files, over {MOST_FILES}: name one model's folder")
    return sorted(chosen, key=lambda file: file.path)


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _is_text(path: str) -> bool:
    return _suffix(path) in TEXTS and not _is_hidden(path)


def _is_weights(path: str, names: set[str]) -> bool:
    """Safetensors at the top; Mistral's `consolidated*` repeats what `model*` holds."""
    if _suffix(path) != ".safetensors" or "/" in path:
        return False
    repeats = path.startswith("consolidated") and any(
        name.startswith("model") and name.endswith(".safetensors") for name in names
    )
    return not repeats


def _is_hidden(path: str) -> bool:
    """`.gitattributes`, `.cache/…`: no part of a model (`..` is left for `is_safe` to refuse)."""
    return any(part.startswith(".") and part not in (".", "..") for part in path.split("/"))
