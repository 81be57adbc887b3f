"""What the tests of fetching share: a small model, fetching it in this process or in one that can be killed."""

import hashlib
import io
import json
import os
import random
import struct
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from llmservice_worker.fetch.fetching import Fetcher, model_check
from llmservice_worker.fetch.progress import Meter
from llmservice_worker.fetch.source import ENVIRONMENT, Source
from llmservice_worker.fetch.store import MARK, Fetched

ROOT = Path(__file__).parents[2]
MIB = 2**20


def a_model(weights: int = 5 * MIB) -> dict[str, bytes]:
    """A directory that passes the worker's checks: sound headers, weights of chance."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [weights], "data_offsets": [0, weights]}}).encode()
    return {
        "config.json": json.dumps({"architectures": ["LlamaForCausalLM"]}).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors": struct.pack("<Q", len(header)) + header + random.Random(7).randbytes(weights),
    }


def digest_of(files: Mapping[str, bytes]) -> str:
    """What status.model.digest says of such files."""
    said = "".join(f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items()))
    return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"


def tar_of(files: Mapping[str, bytes], mode: Literal["w", "w:gz"] = "w:gz") -> bytes:
    """An archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def at_once(stopped: threading.Event, seconds: float) -> None:
    """Waits for nothing: tests count tries, not seconds."""


def fetch(source: Source, root: Path, credentials: Mapping[str, str] | None = None) -> Fetched:
    """In this process."""
    meter = Meter(time.monotonic)
    return Fetcher(root, credentials or {}, meter, model_check(source), at_once).fetch(source)


def laid_down(source: Source, root: Path) -> dict[str, bytes]:
    """The files of a source that was fetched."""
    directory = Path(source.directory(str(root)))
    paths = [path for path in directory.rglob("*") if path.is_file() and path.name != MARK]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def parts(root: Path) -> int:
    """Bytes in unfinished files."""
    return sum(path.stat().st_size for path in root.rglob("*.part"))


class Process:
    """The init container's command."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, termination_log: Path) -> None:
        self.process = process
        self._port = port
        self._termination_log = termination_log

    def progress(self) -> dict[str, Any]:
        """GET /progress; empty while nothing listens yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/progress", timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            return {}

    def outcome(self) -> tuple[int, dict[str, Any]]:
        """Exit status and termination message, when it has ended."""
        status = self.process.wait(timeout=120)
        return status, json.loads(self._termination_log.read_text())


@contextmanager
def process(
    source: Source, root: Path, port: int, credentials: Mapping[str, str], name: str = "fetch"
) -> Iterator[Process]:
    """A process that fetches; killed at the end of the body if it still runs."""
    termination_log = root.parent / f"{name}.termination"
    secrets = root.parent / "credentials"
    secrets.mkdir(exist_ok=True)
    for key, value in credentials.items():
        (secrets / key).write_text(value)
    told = {"source": source.model_dump(), "root": str(root), "port": port, "termination_log": str(termination_log)}
    told |= {"credentials": str(secrets)}
    environment = os.environ | {ENVIRONMENT: json.dumps(told), "PYTHONPATH": str(ROOT / "worker")}
    words = [sys.executable, "-m", "llmservice_worker.fetch"]
    with (root.parent / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(words, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield Process(running, port, termination_log)
        finally:
            running.kill()
            running.wait()
