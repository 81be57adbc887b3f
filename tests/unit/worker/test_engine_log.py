import json
import logging
from importlib import resources
from logging.config import dictConfig
from logging.handlers import MemoryHandler
from pathlib import Path

import pytest

from llmservice_worker.engine_log import (
    PLACE,
    Failure,
    KeepFailures,
    described,
    failures,
    root_exception,
    serve_log_kept,
)
from llmservice_worker.output import ContainerLog


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "engine.jsonl"
    monkeypatch.setenv(PLACE, str(file))
    return file


def logger_with(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("engine")
    logger.addHandler(handler)
    return logger


def test_what_fails_is_kept_with_its_root_exception(place: Path) -> None:
    logger = logger_with(KeepFailures())
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise RuntimeError("outer") from inner
    except RuntimeError:
        logger.exception("EngineCore failed to %s.", "start")
    logger.warning("and %d more", 2)
    assert failures(place) == [Failure("EngineCore failed to start.", "KeyError: 'inner'"), Failure("and 2 more", "")]


def test_nothing_is_kept_without_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLACE, raising=False)
    logger_with(KeepFailures()).error("x")


def test_a_place_that_cannot_be_written_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PLACE, str(tmp_path / "none" / "x"))
    logger_with(KeepFailures()).error("x")
    assert "Logging error" in capsys.readouterr().err


def test_broken_lines_and_a_missing_file_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "x"
    assert failures(file) == []
    file.write_text('not json\n{"message": 1}\n[]\n{"message": "a", "exception": "b"}\n')
    assert failures(file) == [Failure("a", "b")]


def test_a_long_message_is_cut(place: Path) -> None:
    logger_with(KeepFailures()).error("x" * 100_000)
    assert place.stat().st_size < 10_000


def test_an_exception_that_hides_its_context_is_its_own_root() -> None:
    error = ValueError("own")
    error.__context__ = KeyError("inner")
    assert described(root_exception(error)) == "KeyError: 'inner'"
    error.__suppress_context__ = True
    assert described(root_exception(error)) == "ValueError: own"


def test_vllms_configuration_names_our_handlers() -> None:
    text = resources.files("llmservice_worker").joinpath("engine_log.json").read_text()
    handlers = json.loads(text)["handlers"]
    assert handlers["failures"]["class"] == f"{KeepFailures.__module__}.{KeepFailures.__qualname__}"
    assert handlers["output"]["class"] == f"{ContainerLog.__module__}.{ContainerLog.__qualname__}"


def test_ray_serves_log_outlives_vllms_configuration(tmp_path: Path) -> None:
    file = logging.FileHandler(tmp_path / "replica.log")
    memory = MemoryHandler(1, target=file)
    serve = logging.getLogger("ray.serve")
    serve.addHandler(memory)
    try:
        with serve_log_kept():
            dictConfig({"version": 1, "disable_existing_loggers": False})
        assert memory.target is file
        serve.error("still here")
    finally:
        serve.removeHandler(memory)
        file.close()
    assert "still here" in (tmp_path / "replica.log").read_text()


def test_without_it_the_configuration_takes_the_file(tmp_path: Path) -> None:
    file = logging.FileHandler(tmp_path / "replica.log")
    memory = MemoryHandler(1, target=file)
    dictConfig({"version": 1, "disable_existing_loggers": False})
    assert memory.target is None, "what Python does to handlers: serve_log_kept can go when it stops"
    file.close()
