"""What the gateway's benchmark runs beside the gateway: its load generator and the peers, built or installed once."""

import hashlib
import shutil
import sys
from pathlib import Path

from hack.cluster import command
from hack.cluster.cache import REPOSITORY, cache_root, locked
from hack.cluster.progress import Steps
from tests.bench.programs import built, found


def load_generator(steps: Steps) -> Path:
    """The program of tests/bench/gateway_load."""
    return built(Path(__file__).parent / "gateway_load", steps)


def virtual_environment(name: str, steps: Steps) -> Path:
    """`bin` of a virtual environment with requirements/bench-<name>.txt, kept under the hash of that file."""
    requirements = REPOSITORY / "requirements" / f"bench-{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    target = cache_root() / "venvs" / f"bench-{name}-{digest}"
    with locked(f"venv-bench-{name}"):
        if not (target / "made").is_file():
            log = cache_root() / "logs" / f"venv-bench-{name}.log"
            with steps.step(f"install {requirements.name} (once)", log):
                shutil.rmtree(target, ignore_errors=True)
                command.logged([sys.executable, "-m", "venv", target], log)
                pip: list[str | Path] = [target / "bin" / "python", "-m", "pip", "install", "--require-hashes"]
                command.logged([*pip, "-r", requirements], log)
                (target / "made").touch()
    return target / "bin"


def nginx() -> str:
    """The program; raises ClusterError where there is none."""
    return found("nginx", "nginx (Debian: apt-get install nginx-light)", extra="/usr/sbin")
