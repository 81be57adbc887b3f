"""Liveness of a running operator is red while it does not see: faults that are put into it, and what it says then."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from tests.integration.operator_run import Running, operator

RELIST_S = 5.0
BLOCKED_S = 12.0


@pytest.fixture
def running(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Running]:
    with operator(control_plane, tmp_path, relist_seconds=RELIST_S) as found:
        found.after_relists(2)  # from the second on it knows which kinds must be watched
        yield found


def health(running: Running, patience: float = 5) -> tuple[int, str]:
    """Status and text as the kubelet would get them; status 0 where nothing came in time."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/healthz", timeout=patience) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, TimeoutError):
        return 0, ""


def test_a_watcher_that_died_is_told(running: Running) -> None:
    assert health(running) == (200, "ok\n")
    ended = asyncio.run_coroutine_threadsafe(_end_watcher("pods"), running.loop).result(timeout=30)
    assert ended == 1
    wait_until(lambda: health(running)[0] == 503, "liveness is red", timeout=30)
    assert "watcher is dead: pods" in health(running)[1]


def test_a_loop_that_does_not_run_gives_no_answer_in_the_time_that_the_kubelet_waits(running: Running) -> None:
    assert health(running)[0] == 200
    begun = time.monotonic()
    running.loop.call_soon_threadsafe(time.sleep, BLOCKED_S)
    wait_until(lambda: health(running)[0] == 0, "no answer while it is blocked", timeout=BLOCKED_S - 5)
    wait_until(lambda: health(running)[0] == 200, "it is well again", timeout=60)
    assert time.monotonic() - begun >= BLOCKED_S


async def _end_watcher(plural: str) -> int:
    """End kopf's watcher of a kind, as an error in it would; how many there were."""
    found = [task for task in asyncio.all_tasks() if task.get_name().startswith(f"watcher for {plural}.")]
    for task in found:
        task.cancel()
    await asyncio.wait(found)
    return len(found)
