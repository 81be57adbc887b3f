import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from llmservice_worker import liveness
from llmservice_worker.liveness import SILENT_S, STUCK_S, Signs, cpu_seconds, ending, hung, watch


@pytest.mark.parametrize(
    ("signs", "is_hung"),
    [
        (Signs(0, 0), False),
        (Signs(SILENT_S - 1, SILENT_S - 1), False),
        (Signs(SILENT_S, SILENT_S), True),
        (Signs(SILENT_S * 3, 0), False),  # a long step: it computes
        (Signs(0, SILENT_S * 3), False),  # idle: it answers
        (Signs(STUCK_S, 0), True),
        (Signs(STUCK_S - 1, None), False),  # it may compute where we do not see it
        (Signs(STUCK_S, None), True),
    ],
)
def test_when_an_engine_counts_as_hung(signs: Signs, is_hung: bool) -> None:
    assert (hung(signs) is not None) is is_hung


class Clock:
    """Ten seconds pass at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 10
        return self.now


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_ASK_EVERY_S", 0)
    monkeypatch.setattr(liveness, "_LOOK_EVERY_S", 0)


async def never() -> None:
    await asyncio.Event().wait()


async def test_a_silent_engine_is_told() -> None:
    assert "neither answered nor computed" in await watch(never, lambda: 1.0, Clock())


async def test_an_engine_that_computes_elsewhere_has_longer() -> None:
    clock = Clock()
    assert "no step" in await watch(never, None, clock)
    assert clock.now >= STUCK_S


@pytest.mark.parametrize(
    ("exit_codes", "raised", "said"),
    [
        ([-9, 0], None, "the engine's process died (exit code -9, 0)"),
        ([], None, "the engine died"),
        ([-9], ConnectionError("x"), "the engine's process died (exit code -9): ConnectionError"),
        ([], ConnectionError("x"), "the engine died: ConnectionError"),
        ([None], ValueError("x"), "the engine cannot be watched: ValueError"),
    ],
)
def test_what_is_said_of_an_engine_that_ended(
    exit_codes: list[int | None], raised: BaseException | None, said: str
) -> None:
    assert ending(exit_codes, raised) == said


async def test_an_engine_that_computes_has_longer() -> None:
    clock = Clock()
    assert "no step" in await watch(never, lambda: clock.now, clock)
    assert clock.now >= STUCK_S


async def test_an_engine_that_answers_is_asked_again_until_it_raises() -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        if asked == 5:
            raise ConnectionError("dead")

    with pytest.raises(ConnectionError):
        await watch(ask, lambda: 1.0, Clock())
    assert asked == 5


def test_cpu_time_of_processes_and_their_descendants(tmp_path: Path) -> None:
    # pid → parent, user ticks, system ticks
    table = {10: (1, 100, 50), 11: (10, 25, 0), 12: (11, 25, 0), 20: (1, 999, 999)}
    for pid, (parent, user, system) in table.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a ) b) S {parent} " + "0 " * 9 + f"{user} {system} 0 0")
    (tmp_path / "13").mkdir()  # it ended
    for pid, stat in {14: b"", 15: b"15 (x) S 10", 16: b"16 (x) S ? " + b"x " * 20}.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_bytes(stat)
    (tmp_path / "17").mkdir()  # the name of a process is any bytes
    (tmp_path / "17" / "stat").write_bytes(b"17 (\xff\xfe) S 20 " + b"0 " * 9 + b"1 0 0 0")
    assert cpu_seconds([10], tmp_path) == pytest.approx(2.0)
    assert cpu_seconds([11, 404], tmp_path) == pytest.approx(0.5)


def test_a_process_whose_loop_stands_still_ends_itself() -> None:
    code = (
        "import asyncio, time\n"
        "from llmservice_worker.liveness import end_when_stalled\n"
        "async def main():\n"
        "    guard = asyncio.create_task(end_when_stalled(after_s=0.2, tick_s=0.01))\n"
        "    await asyncio.sleep(0.05)\n"
        "    time.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "main" in ended.stderr
