"""Which label a line of the access log is counted under."""

import json
import logging
from typing import Any

import pytest

from llmservice_gateway.metrics import Metrics
from llmservice_gateway.objects import service
from llmservice_gateway.refusals import Refusals
from tests.unit.gateway.builders import llmservice

LINE = {"request_id": "r", "tenant": "team-a", "route": "team-a/llama", "status": 429, "reason": "requests_limit"}
MODEL_OF_A = service(llmservice("llama"))


def counted(*lines: bytes) -> dict[tuple[str, ...], float]:
    metrics = Metrics()
    refusals = Refusals(metrics.refused, {"team-a/llama": MODEL_OF_A}.get)
    for line in lines:
        refusals.take(line)
    (family,) = metrics.refused.collect()
    samples = [each for each in family.samples if each.name.endswith("_total")]
    return {tuple(each.labels[name] for name in ("namespace", "service", "reason")): each.value for each in samples}


def line(**fields: Any) -> bytes:
    return json.dumps(LINE | fields).encode() + b"\n"


@pytest.mark.parametrize(
    ("tenant", "route", "namespace", "service"),
    [
        ("team-a", "team-a/llama", "team-a", "llama"),
        ("team-a", "-", "team-a", "-"),
        ("team-a", "team-a/none", "team-a", "-"),
        ("team-b", "team-a/llama", "team-b", "-"),
        ("-", "team-a/llama", "team-a", "llama"),
        ("-", "team-x/none", "-", "-"),
        ("*", "team-a/llama", "team-a", "llama"),
        ("*", "-", "*", "-"),
    ],
)
def test_labels_are_of_what_exists(tenant: str, route: str, namespace: str, service: str) -> None:
    assert counted(line(tenant=tenant, route=route)) == {(namespace, service, "requests_limit"): 1}


def test_each_reason_is_counted_by_itself_and_answers_of_models_not_at_all() -> None:
    assert counted(line(), line(), line(reason="tokens_limit"), line(reason="-", status=500)) == {
        ("team-a", "llama", "requests_limit"): 2,
        ("team-a", "llama", "tokens_limit"): 1,
    }


@pytest.mark.parametrize("broken", [b'{"reason": "x", "ten', b"{}\n", b"\n"])
def test_what_is_no_line_is_said_and_stops_nothing(broken: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert counted(broken, line()) == {("team-a", "llama", "requests_limit"): 1}
    assert "not understood" in caplog.text
