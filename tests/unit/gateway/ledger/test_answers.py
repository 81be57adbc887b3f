"""What a failure says to the client, and what to the log only."""

import logging
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from llmservice_gateway.ledger.answers import failures
from llmservice_gateway.ledger.identity import IdentitiesUnknown
from llmservice_gateway.ledger.metrics import Metrics
from llmservice_gateway.ledger.store import StoreFailed

CAUSE = "OperationalError: connection to server at 10.0.0.7, user ledger failed"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreFailed(CAUSE), 503, "database_unavailable"),
        (IdentitiesUnknown(CAUSE), 503, "tokens_unavailable"),
        (RuntimeError(CAUSE), 500, "internal_error"),
    ],
    ids=["database", "token review", "anything else"],
)
async def test_a_cause_is_in_the_log_only(
    error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: web.Request) -> web.StreamResponse:
        raise error

    request = make_mocked_request("GET", "/v1/organization/costs", writer=Mock(output_size=0))
    with caplog.at_level(logging.ERROR):
        said = await failures(Metrics())(request, fail)
    assert isinstance(said, web.Response)
    assert said.text is not None
    assert (said.status, code in said.text) == (status, True)
    assert "10.0.0.7" not in said.text
    assert CAUSE in caplog.text


@pytest.mark.parametrize("error", [ConnectionResetError("Connection lost"), web.RequestPayloadError("cut off")])
async def test_a_sender_that_breaks_off_is_no_failure_of_the_ledger(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: web.Request) -> web.StreamResponse:
        raise error

    request = make_mocked_request("POST", "/v1/events", writer=Mock(output_size=0))
    said = await failures(Metrics())(request, broken)
    assert said.status == 400
    assert caplog.records == []
