"""A token that cannot be sent is a ledger that is away, whatever is asked."""

from pathlib import Path

import aiohttp
import pytest

from llmservice_gateway.ledger_client import LedgerAway, LedgerClient

SECRET = "c2VjcmV0"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (None, "No such file"),
        (f"{SECRET}\u00e9", "token holds no token"),
        (f"{SECRET}\nx: y", "token holds no token"),
    ],
)
async def test_a_bad_token_file_is_said_without_its_text(tmp_path: Path, token: str | None, said: str) -> None:
    file = tmp_path / "token"
    if token is not None:
        file.write_text(token, encoding="utf-8")
    async with aiohttp.ClientSession() as session:
        ledger = LedgerClient(session, "http://127.0.0.1:9", file)
        with pytest.raises(LedgerAway, match=said) as of_sync:
            await ledger.sync({}, 0)
        with pytest.raises(LedgerAway, match=said) as of_report:
            await ledger.organization("/v1/organization/costs", "*")
    assert SECRET not in f"{of_sync.value} {of_report.value}"
