"""What the audit log says of writes."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.operator.audit import Audit, write_of


def entry(verb: str = "patch", **reference: str) -> dict[str, Any]:
    """A line of the log, two seconds after its request came in."""
    return {
        "verb": verb,
        "user": {"username": "ours"},
        "objectRef": {"resource": "services", "namespace": "ns", "name": "s1-abc", **reference},
        "responseStatus": {"code": 201},
        "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
        "stageTimestamp": "2026-01-01T00:00:02.500000Z",
    }


def test_a_write_is_read() -> None:
    found = write_of(json.dumps(entry()))
    assert found is not None
    assert (found.user, found.plural, found.service, found.is_creation) == ("ours", "services", ("ns", "s1"), True)
    assert found.at - found.begun == 2.5


def test_a_created_object_is_named_by_what_was_sent() -> None:
    told = entry("create", name="") | {"requestObject": {"metadata": {"name": "e1"}}}
    found = write_of(json.dumps(told))
    assert found is not None
    assert found.name == "e1"


@pytest.mark.parametrize("line", [entry("list"), entry("watch"), {**entry(), "objectRef": None}])
def test_what_is_no_write_is_left_out(line: dict[str, Any]) -> None:
    assert write_of(json.dumps(line)) is None


@pytest.mark.parametrize(("part", "code", "made"), [("", 201, True), ("", 200, False), ("status", 201, False)])
def test_what_made_an_object(part: str, code: int, made: bool) -> None:
    found = write_of(json.dumps(entry(subresource=part) | {"responseStatus": {"code": code}}))
    assert found is not None
    assert found.is_creation is made


def test_a_growing_log_is_read_line_by_whole_line(tmp_path: Path) -> None:
    file, line = tmp_path / "audit.jsonl", json.dumps(entry()) + "\n"
    file.write_text(line + line[:20])
    with contextlib.closing(Audit(file)) as audit:
        assert len(audit.read()) == 1
        with file.open("a") as log:
            log.write(line[20:])
        assert len(audit.read()) == 2
        audit.forget()
        assert audit.read() == []
