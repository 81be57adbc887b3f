"""Log lines reach the container's output, and never hold anything up."""

import json
import logging
import os
from pathlib import Path

import pytest

from llmservice_worker.output import PLACE, ContainerLog, opened


def test_lines_are_written_to_the_place_that_the_environment_names(tmp_path: Path) -> None:
    place = tmp_path / "log"
    place.touch()
    write = opened({PLACE: str(place)})
    write("one")
    write("two \ud800")
    assert place.read_text() == "one\ntwo \\ud800\n"


def test_without_a_place_they_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    opened({})("one")
    assert capsys.readouterr().out == "one\n"


def test_a_place_that_cannot_be_opened_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened({PLACE: str(tmp_path / "none" / "log")})("one")
    warning, line = capsys.readouterr().out.splitlines()
    assert json.loads(warning)["message"].startswith(f"{PLACE}=")
    assert json.loads(warning)["level"] == "warning"
    assert line == "one"


def test_a_pipe_that_nobody_empties_loses_lines_and_blocks_nothing(tmp_path: Path) -> None:
    place = tmp_path / "pipe"
    os.mkfifo(place)
    reader = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    write = opened({PLACE: str(place)})
    for _ in range(1000):
        write("x" * 1000)
    got = os.read(reader, 2**20)
    os.close(reader)
    assert 0 < got.count(b"\n") < 1000


def test_a_pipe_whose_reader_is_gone_fails_no_request(tmp_path: Path) -> None:
    place = tmp_path / "pipe"
    os.mkfifo(place)
    reader = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    write = opened({PLACE: str(place)})
    os.close(reader)
    write("one")


def test_records_become_lines_of_json_with_their_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "log"
    place.touch()
    monkeypatch.setenv(PLACE, str(place))
    logger = logging.Logger("vllm.engine")
    logger.addHandler(ContainerLog())
    try:
        raise ValueError("no room")
    except ValueError:
        logger.exception("failed\nbadly")
    (line,) = place.read_text().splitlines()
    found = json.loads(line)
    assert (found["level"], found["logger"]) == ("error", "vllm.engine")
    assert found["message"].startswith("failed\nbadly\nTraceback")
    assert "no room" in found["message"]
