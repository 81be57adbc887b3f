"""`make bench-endpoint`: the whole way (Ingress, gateway, Ray Serve, engine) against `vllm serve`.

Same image, model, engine arguments and threads; both stand side by side and are asked in turn, in interleaved rounds
with rotated order. Prints one JSON line last and writes it to build/bench/endpoint.json.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp

from hack.cluster.cache import REPOSITORY
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps
from tests.bench.load import Cell, Target, run_cell, stream
from tests.bench.memory import resident_mb
from tests.e2e.site import Site, deployed, ready_service

Json = dict[str, Any]

ROOM: Final = "bench"
NAME: Final = "bench"
THREADS: Final = 2
ROUNDS: Final = 3
CONCURRENCY: Final = {1: 3, 8: 16, 32: 64}
"""Streams at once, and how many in all in one round."""
LATER: Final = 8


def vllm_serve(image: str) -> Json:
    """A pod with plain `vllm serve` of the same model, with the same engine arguments and threads."""
    command = (
        "python -m vllm.entrypoints.openai.api_server --model /models/models/smollm2-135m --served-model-name bench"
    )
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    environment = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "OMP_NUM_THREADS": str(THREADS),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "TORCHDYNAMO_DISABLE": "1",
        "HOME": "/tmp",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "vllm-serve"},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "vllm",
                    "image": image,
                    "command": [*command.split(), "--max-model-len=2048", "--enforce-eager", "--port=8000"],
                    "env": [{"name": name, "value": value} for name, value in environment.items()],
                    # The same weight on the node's CPUs as a worker and its head have.
                    "resources": {"requests": {"cpu": "350m", "memory": "4Gi"}, "limits": {"memory": "5Gi"}},
                    "securityContext": security,
                    "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
                    "volumeMounts": [
                        {"name": "model", "mountPath": "/models/models", "readOnly": True},
                        {"name": "tmp", "mountPath": "/tmp"},
                        {"name": "cache", "mountPath": "/cache"},
                        {"name": "shared-memory", "mountPath": "/dev/shm"},
                    ],
                }
            ],
            "volumes": [
                {"name": "model", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
                {"name": "tmp", "emptyDir": {}},
                {"name": "cache", "emptyDir": {}},
                {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
            ],
        },
    }


def start_peer(site: Site) -> Target:
    """`vllm serve` when it is ready."""
    site.apply(ROOM, vllm_serve(site.images.worker))
    site.api.kubectl("wait", "pod/vllm-serve", f"--namespace={ROOM}", "--for=condition=Ready", "--timeout=180s")
    pod = site.api.get(f"/api/v1/namespaces/{ROOM}/pods/vllm-serve")
    assert pod is not None
    return Target("vllm", f"http://{pod['status']['podIP']}:8000/v1", "bench")


def start_ours(site: Site) -> tuple[Target, float]:
    """Our endpoint, and the seconds from apply to Ready."""
    site.api.kubectl("delete", "llm", NAME, f"--namespace={ROOM}", "--ignore-not-found")
    wait_until(lambda: site.service(ROOM, NAME) is None, "an older one is gone", timeout=60)
    begun = time.monotonic()
    ready_service(site, ROOM, NAME)
    seconds = time.monotonic() - begun
    return Target("ours", f"{site.base_url}/v1", NAME, site.keys[ROOM]), seconds


async def first_and_later(target: Target) -> float:
    """The first request after Ready over the median of later ones, one token each."""
    async with aiohttp.ClientSession() as session:
        answers = [await stream(session, target, tokens=8) for _ in range(1 + LATER)]
    assert not any(answer.error for answer in answers), answers
    return answers[0].total / median(answer.total for answer in answers[1:])


async def measure(targets: list[Target], steps: Steps) -> dict[tuple[str, int], list[Cell]]:
    """All cells: each round asks every target at every concurrency, in an order that rotates."""
    cells: dict[tuple[str, int], list[Cell]] = defaultdict(list)
    for target in targets:
        await run_cell(target, 8, 8)  # warm, not counted
    for turn in range(ROUNDS):
        for at_once, streams in CONCURRENCY.items():
            for target in targets[turn % 2 :] + targets[: turn % 2]:
                with steps.step(f"round {turn + 1} of {ROUNDS}: {target.name}, {at_once} at once"):
                    cells[target.name, at_once].append(await run_cell(target, at_once, streams))
    return cells


def ratios(cells: dict[tuple[str, int], list[Cell]]) -> Json:
    """Ours over vllm serve, round by round; the median of the rounds."""
    found: Json = {}
    for at_once in CONCURRENCY:
        pairs = list(zip(cells["ours", at_once], cells["vllm", at_once], strict=True))
        found[f"tokens_over_vllm_{at_once}"] = round(
            median(ours.tokens_per_second / peer.tokens_per_second for ours, peer in pairs), 3
        )
        found[f"ttft_over_vllm_{at_once}"] = round(
            median(ours.first_token_p50 / peer.first_token_p50 for ours, peer in pairs), 3
        )
    return found


def absolute(cells: dict[tuple[str, int], list[Cell]]) -> Json:
    """Medians of each cell: tokens/s, time to first token in ms."""
    return {
        f"{name}_{at_once}": {
            "tokens_per_s": round(median(cell.tokens_per_second for cell in rounds), 1),
            "ttft_p50_ms": round(1000 * median(cell.first_token_p50 for cell in rounds)),
            "ttft_p99_ms": round(1000 * median(cell.first_token_p99 for cell in rounds)),
        }
        for (name, at_once), rounds in sorted(cells.items())
    }


def main() -> int:
    """Measure, print, write; 1 where any stream failed."""
    steps = Steps()
    with deployed(ROOM) as site:
        ours, ready_seconds = start_ours(site)
        ratio = asyncio.run(first_and_later(ours))
        with steps.step("vllm serve ready"):
            peer = start_peer(site)
        try:
            cells = asyncio.run(measure([ours, peer], steps))
            memory = resident_mb()
        finally:
            site.api.kubectl("delete", "pod", "vllm-serve", f"--namespace={ROOM}", "--ignore-not-found")
            site.api.kubectl("delete", "llm", NAME, f"--namespace={ROOM}", "--ignore-not-found")
    errors = [error for rounds in cells.values() for cell in rounds for error in cell.errors]
    result = {
        "bench": "endpoint",
        "ready_s": round(ready_seconds, 1),
        "first_over_later": round(ratio, 2),
        **ratios(cells),
        "errors": len(errors),
        "rss_mb": memory,
        "cells": absolute(cells),
    }
    write(result, REPOSITORY / "build" / "bench" / "endpoint.json")
    for error in errors[:5]:
        print(error, file=sys.stderr)
    print(json.dumps(result))
    return 1 if errors else 0


def write(result: Json, path: Path) -> None:
    """The JSON line as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    sys.exit(main())
