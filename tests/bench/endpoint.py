"""`make bench-endpoint`: the whole way (Ingress, gateway, Ray Serve, engine) against `vllm serve` and `ray.serve.llm`.

Same image, model, engine arguments and threads; all stand side by side and are asked in turn, in interleaved rounds
with rotated order. Prints one JSON line last and writes it to build/bench/endpoint.json.
"""

import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp

from hack.cluster.cache import REPOSITORY
from hack.cluster.failure import ClusterError
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps
from tests.bench import overload, peers
from tests.bench.engine_kill import kill_to_answer
from tests.bench.load import Cell, Target, run_cell, stream
from tests.bench.memory import resident_mb
from tests.bench.rounds import rounds
from tests.e2e.site import Site, deployed, ready_service

Json = dict[str, Any]

ROOM: Final = "bench"
NAME: Final = peers.MODEL
ROUNDS: Final = 5
CONCURRENCY: Final = {1: 4, 8: 16, 32: 64}
"""Streams at once, and how many in all in one round."""
LATER: Final = 8
KILLS: Final = 2
"""How often the engine is killed; a replica starts it again in place three times in ten minutes."""


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


async def measure(targets: list[Target], turns: int, steps: Steps) -> dict[tuple[str, int], list[Cell]]:
    """All cells: each round asks every target at every concurrency, in an order that rotates."""
    cells: dict[tuple[str, int], list[Cell]] = defaultdict(list)
    for target in targets:
        await run_cell(target, 8, 8)  # warm, not counted
    for turn in range(turns):
        for at_once, streams in CONCURRENCY.items():
            for target in targets[turn % len(targets) :] + targets[: turn % len(targets)]:
                with steps.step(f"round {turn + 1} of {turns}: {target.name}, {at_once} at once"):
                    cells[target.name, at_once].append(await run_cell(target, at_once, streams))
    return cells


def ratios(cells: dict[tuple[str, int], list[Cell]]) -> Json:
    """Ours over each peer, round by round; the median of the rounds."""
    figures = {"tokens": "tokens_per_second", "ttft": "first_token_p50", "tpot": "per_token_p50"}
    found: Json = {}
    for peer in peers.PEERS:
        for at_once in CONCURRENCY:
            pairs = list(zip(cells["ours", at_once], cells[peer, at_once], strict=True))
            for key, figure in figures.items():
                over = median(getattr(ours, figure) / getattr(theirs, figure) for ours, theirs in pairs)
                found[f"{key}_over_{peer}_{at_once}"] = round(over, 3)
    found["tokens_over_ray_min"] = min(found[f"tokens_over_ray_{at_once}"] for at_once in CONCURRENCY)
    return found


def absolute(cells: dict[tuple[str, int], list[Cell]]) -> Json:
    """Medians of each cell: tokens/s, time to first token and time per further token in ms."""
    return {
        f"{name}_{at_once}": {
            "tokens_per_s": round(median(cell.tokens_per_second for cell in rounds), 1),
            "ttft_p50_ms": round(1000 * median(cell.first_token_p50 for cell in rounds)),
            "ttft_p99_ms": round(1000 * median(cell.first_token_p99 for cell in rounds)),
            "tpot_p50_ms": round(1000 * median(cell.per_token_p50 for cell in rounds), 1),
        }
        for (name, at_once), rounds in sorted(cells.items())
    }


def main() -> int:
    """Measure, print, write; 1 where any stream failed, 2 for a ROUNDS that is none."""
    steps = Steps()
    try:
        turns = rounds(os.environ, ROUNDS)
    except ClusterError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    with deployed(ROOM) as site:
        peers.stop(site, ROOM)
        with steps.step("overload"):
            try:
                crowd = asyncio.run(overload.measure(overload.start(site, ROOM)))
            finally:
                overload.stop(site, ROOM)
        ours, ready_seconds = start_ours(site)
        try:
            ratio = asyncio.run(first_and_later(ours))
            back = []
            for turn in range(KILLS):
                with steps.step(f"the engine is killed and answers again ({turn + 1} of {KILLS})"):
                    back.append(kill_to_answer(site, ROOM, NAME, ours))
            targets = [ours]
            for peer in peers.PEERS:
                with steps.step(f"peer {peer} ready"):
                    targets.append(peers.start(site, ROOM, peer))
            cells = asyncio.run(measure(targets, turns, steps))
            memory = resident_mb()
        finally:
            peers.stop(site, ROOM)
            site.api.kubectl("delete", "llm", NAME, f"--namespace={ROOM}", "--ignore-not-found")
    errors = [error for rounds in cells.values() for cell in rounds for error in cell.errors]
    result = {
        "bench": "endpoint",
        "ready_s": round(ready_seconds, 1),
        "first_over_later": round(ratio, 2),
        "engine_kill_to_answer_s": round(median(back), 1),
        **crowd,
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
