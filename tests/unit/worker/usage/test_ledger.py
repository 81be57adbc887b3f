"""What answers of the ledger mean."""

import json

import pytest

from llmservice_worker.usage.ledger import Away, Refused, Stored, Verdict, verdict


def error(message: str, param: str | None = None) -> bytes:
    """A body in OpenAI's shape."""
    return json.dumps({"error": {"message": message, "type": "t", "param": param, "code": None}}).encode()


ANSWERS: dict[str, tuple[int, bytes, Verdict]] = {
    "stored": (200, b'{"stored": 2, "known": 1}', Stored()),
    "somebody else's good answer": (200, b"<html>", Away("it answered 200")),
    "one is wrong": (400, error("too many", "events[1].prompt_tokens"), Refused(1, "too many")),
    "one is wrong, in words with points": (422, error("no", "events.0.id"), Refused(0, "no")),
    "the post is wrong": (400, error("no list", "events"), Away("it answered 400: no list")),
    "an event that was not sent": (400, error("what", "events[3]"), Away("it answered 400: what")),
    "the token is refused": (401, error("who"), Away("it answered 401: who")),
    "another's namespace": (403, error("not yours", "events[0].namespace"), Refused(0, "not yours")),
    "it failed, whatever it names": (500, error("oh", "events[0]"), Away("it answered 500: oh")),
    "a proxy's page": (502, b"<html>", Away("it answered 502")),
    "another shape": (503, b'["x"]', Away("it answered 503")),
    "a text for an error": (400, b'{"error": "x"}', Away("it answered 400")),
    "a redirect": (307, b"", Away("it answered 307")),
}


@pytest.mark.parametrize(("status", "body", "found"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_one_of_three_verdicts(status: int, body: bytes, found: Verdict) -> None:
    assert verdict(status, body, count=3) == found


def test_what_the_ledger_says_is_repeated_in_part_only() -> None:
    found = verdict(500, error("x" * 10_000), count=1)
    assert isinstance(found, Away)
    assert len(found.message) < 400
