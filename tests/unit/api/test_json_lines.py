"""Log lines are JSON, whatever is logged."""

import json
import logging
from typing import Any

from llmservice_api.json_lines import FIELDS, JsonLines


def logged(message: str, *values: Any, **more: Any) -> dict[str, Any]:
    record = logging.Logger("llmservice").makeRecord(
        "llmservice", logging.WARNING, __file__, 1, message, values, more.get("exc_info"), extra=more.get("extra")
    )
    text = JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_has_time_level_logger_and_message() -> None:
    found = logged("two\nlines of %s", "text")
    assert found.pop("time").endswith("+00:00")
    assert found == {"level": "warning", "logger": "llmservice", "message": "two\nlines of text"}


def test_ids_are_fields() -> None:
    found = logged("x", extra={FIELDS: {"kind": "LLMService", "key": "team-a/smol"}})
    assert (found["kind"], found["key"]) == ("LLMService", "team-a/smol")


def test_an_exception_stays_in_its_line() -> None:
    try:
        raise ValueError("no room")
    except ValueError as error:
        found = logged("failed", exc_info=(type(error), error, error.__traceback__))
    assert "Traceback" in found["exception"]
    assert "no room" in found["exception"]


def test_what_json_does_not_know_becomes_text() -> None:
    assert logged("x", extra={FIELDS: {"key": ValueError("odd")}})["key"] == "odd"
