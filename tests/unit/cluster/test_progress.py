"""Steps on a console that is no terminal, and the wait."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from hack.cluster.failure import ClusterError
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps


def test_plain_lines_without_a_terminal() -> None:
    out = io.StringIO()
    with Steps(Console(file=out)).step("thing ready"):
        pass
    assert out.getvalue().startswith("… thing ready\n✓ thing ready (")


def test_a_failed_step_is_said_and_points_to_its_log() -> None:
    out = io.StringIO()
    with pytest.raises(ClusterError) as caught, Steps(Console(file=out)).step("thing ready", Path("/log")):
        raise ClusterError("broken")
    assert caught.value.log == Path("/log")
    assert "✗ thing ready" in out.getvalue()


def test_a_terminal_shows_the_same_end() -> None:
    out = io.StringIO()
    with Steps(Console(file=out, force_terminal=True)).step("thing ready"):
        pass
    assert "✓" in out.getvalue()


def test_the_wait_returns_the_first_answer() -> None:
    answers = iter([None, 0, "yes"])
    assert wait_until(lambda: next(answers), "answer", timeout=5, interval=0) == "yes"


def test_the_wait_says_what_did_not_come() -> None:
    with pytest.raises(ClusterError, match="thing ready: not so after 0 s"):
        wait_until(lambda: False, "thing ready", timeout=0, interval=0)
