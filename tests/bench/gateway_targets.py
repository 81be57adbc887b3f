"""What stands between load and mock, each a process group of its own on the gateway's core.

Only the one that is asked runs: the others are stopped (SIGSTOP), so that nobody's timers stand in another's figures.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hack.cluster import process
from hack.cluster.poll import wait_until
from hack.cluster.ports import Ports
from hack.cluster.progress import Steps
from tests.bench import gateway_build as build
from tests.bench.gateway_asking import Load
from tests.bench.gateway_ours import KEY
from tests.bench.gateway_target import Target
from tests.integration import haproxy_program

LOAD_CORE: Final = 0
GATEWAY_CORE: Final = 1
_PEER_KEY: Final = "sk-0123456789abcdef0123456789abcdef"
_PATIENCE: Final = 120.0


@dataclass(frozen=True)
class Bench:
    """A folder for logs and files, and the mock that everything leads to."""

    folder: Path
    load: Load
    mock: Target
    steps: Steps
    ports: Ports


Maker = Callable[[Bench], Target]


@contextmanager
def mock(folder: Path, load: Load, ports: Ports) -> Iterator[Target]:
    """The mock upstream on the load's core; asked without a gateway it is the target `direct`."""
    address = f"127.0.0.1:{ports.take()}"
    record = process.start("mock", [*_on(LOAD_CORE), load.program, "mock", "--address", address], folder)
    target = Target("direct", address, group=record.pid, always_on=True)
    try:
        wait_until(lambda: load.answers(target), "the mock answers", timeout=10)
        yield target
    finally:
        target.end()


@contextmanager
def running(bench: Bench, makers: Mapping[str, Maker]) -> Iterator[list[Target]]:
    """The named targets, all of them ready, then stopped."""
    targets: list[Target] = []
    try:
        for name, make in makers.items():
            with bench.steps.step(f"{name} starts", bench.folder / "logs" / f"{name}.log"):
                target = make(bench)
                targets.append(target)
                _await(bench, target)
                target.freeze()
        yield targets
    finally:
        for target in targets:
            target.end()


def nginx(bench: Bench) -> Target:
    """Debian's nginx as a plain proxy with kept connections, no access log."""
    port = bench.ports.take()
    text = f"""
daemon off; worker_processes 1; pid {bench.folder}/nginx.pid; error_log {bench.folder}/logs/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_buffer_size 64k; client_max_body_size 8m; keepalive_requests 1000000000;
  upstream model {{ server {bench.mock.address}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
    location /v1/ {{ proxy_pass http://model; }}
  }}
}}
"""
    file = bench.folder / "nginx.conf"
    file.write_text(text)
    return _started(bench, "nginx", [build.nginx(), "-c", file, "-p", bench.folder], port)


def haproxy(bench: Bench) -> Target:
    """The gateway's own HAProxy with the least that routes by path: no log, no key, no look at a body.

    Without http-no-delay it would hold each event of a stream for up to 200 ms.
    """
    port = bench.ports.take()
    text = f"""
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  option http-no-delay
  timeout client 60s
  timeout server 600s
  timeout connect 3s
frontend public
  bind 127.0.0.1:{port}
  use_backend model if {{ path_beg /v1/ }}
backend model
  http-reuse always
  server any {bench.mock.address}
"""
    file = bench.folder / "haproxy.cfg"
    file.write_text(text)
    return _started(bench, "haproxy", [haproxy_program.haproxy(), "-db", "-f", file], port)


def ours(models: int, keys: int, name: str = "ours") -> Maker:
    """Our gateway with everything on; the model is read from the body, as clients of the shared URL send it."""

    def make(bench: Bench) -> Target:
        port = bench.ports.take()
        argv: list[str | Path] = [sys.executable, "-m", "tests.bench.gateway_ours", f"--port={port}"]
        argv += [f"--upstream={bench.mock.address}", f"--models={models}", f"--keys={keys}"]
        return _started(bench, name, argv, port, key=KEY, models=models, model="m%d")

    return make


def ours_of_cluster(bench: Bench, kubeconfig: Path) -> Target:
    """Our gateway with the objects of a cluster, running."""
    port = bench.ports.take()
    argv: list[str | Path] = [sys.executable, "-m", "tests.bench.gateway_ours", f"--port={port}"]
    argv += [f"--kubeconfig={kubeconfig}"]
    target = _started(bench, "ours-of-cluster", argv, port, key=KEY)
    _await(bench, target)
    return target


def litellm(bench: Bench) -> Target:
    """`litellm` with a master key and one worker, as its documentation starts it."""
    port = bench.ports.take()
    model = {"model": "openai/m0", "api_base": f"http://{bench.mock.address}/v1", "api_key": "none"}
    settings = {
        "model_list": [{"model_name": "m0", "litellm_params": model}],
        "general_settings": {"master_key": _PEER_KEY},
    }
    file = bench.folder / "litellm.yaml"
    file.write_text(json.dumps(settings))
    programs = build.virtual_environment("litellm", bench.steps)
    argv: list[str | Path] = [
        programs / "litellm",
        "--config",
        file,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    return _started(bench, "litellm", argv, port, environment, key=_PEER_KEY)


def vllm_router(bench: Bench) -> Target:
    """`vllm-router` over one worker; it asks clients for no key."""
    port, metrics = bench.ports.take(), bench.ports.take()
    program = build.virtual_environment("vllm-router", bench.steps) / "vllm-router"
    argv: list[str | Path] = [program, "--worker-urls", f"http://{bench.mock.address}", "--port", str(port)]
    return _started(bench, "vllm-router", [*argv, "--prometheus-port", str(metrics), "--log-level", "warning"], port)


def smg(bench: Bench) -> Target:
    """`smg` (Shepherd Model Gateway) over one worker, with a tenant's key."""
    port, metrics = bench.ports.take(), bench.ports.take()
    program = build.virtual_environment("smg", bench.steps) / "smg"
    argv: list[str | Path] = [
        program,
        "launch",
        "--worker-urls",
        f"http://{bench.mock.address}",
        "--port",
        str(port),
        "--log-level",
        "warn",
    ]
    argv += [
        "--prometheus-port",
        str(metrics),
        "--tenant-api-key",
        f"team-a:{_PEER_KEY}",
        "--disable-tokenizer-autoload",
    ]
    return _started(bench, "smg", argv, port, key=_PEER_KEY)


def _started(
    bench: Bench,
    name: str,
    argv: Sequence[str | Path],
    port: int,
    environment: Mapping[str, str] | None = None,
    **fields: Any,
) -> Target:
    record = process.start(name, [*_on(GATEWAY_CORE), *argv], bench.folder, environment)
    return Target(name, f"127.0.0.1:{port}", group=record.pid, **fields)


def _await(bench: Bench, target: Target) -> None:
    wait_until(lambda: bench.load.answers(target), f"{target.name} answers", timeout=_PATIENCE)


def _on(core: int) -> list[str | Path]:
    return ["taskset", "--cpu-list", str(core)]
