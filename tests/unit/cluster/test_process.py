"""Processes are ended by record, never by name."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hack.cluster import process
from hack.cluster.failure import ClusterError, tail
from hack.cluster.poll import wait_until


def test_a_process_is_recorded_logged_and_ended(tmp_path: Path) -> None:
    started = process.start("talker", ["sh", "-c", "echo ready; exec sleep 600"], tmp_path)
    log = Path(started.log)
    wait_until(lambda: tail(log) == "ready", "log written", timeout=5)
    assert process.records(tmp_path) == [started]
    assert process.find(tmp_path, "talker") == started
    process.stop_all(tmp_path)
    assert not started.alive
    assert process.records(tmp_path) == []


def test_one_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    started = process.start("deaf", ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 600; done"], tmp_path)
    wait_until(lambda: tail(Path(started.log)), "trap set", timeout=5)
    process.stop(started, seconds=0.1)
    assert not started.alive


def test_a_pid_that_another_process_has_got_is_left_alone(tmp_path: Path) -> None:
    stranger = process.start("stranger", ["sleep", "600"], tmp_path)
    process.stop(replace(stranger, started=stranger.started - 1))
    assert stranger.alive
    process.stop(stranger)


def test_a_process_that_ended_by_itself_is_an_error_with_its_log(tmp_path: Path) -> None:
    ended = process.start("brief", ["sh", "-c", "echo why"], tmp_path)
    wait_until(lambda: not ended.alive, "ended", timeout=5)
    with pytest.raises(ClusterError, match="brief ended by itself") as caught:
        process.require_alive(ended)
    assert caught.value.log is not None
    assert tail(caught.value.log) == "why"
    process.stop(ended)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no-such-program is not on this machine"):
        process.start("x", ["no-such-program"], tmp_path)


def test_this_process_has_a_start_time() -> None:
    assert process.start_time(os.getpid())
    assert process.start_time(2**22 + 1) is None
