"""The short form of `make chaos-metering`: few requests, each part killed once."""

from pathlib import Path

import pytest

from tests.chaos.metering import Run, run
from tests.chaos.site import DATABASES, Database

ASKED = Run(seed=5, requests=200, leaving=10, kills=1)
PARTS = {"sqlite": {"gateway", "agent", "haproxy", "ledger"}}
PARTS["postgresql"] = PARTS["sqlite"] | {"postgresql"}


@pytest.mark.parametrize("database", DATABASES)
async def test_all_is_billed_once_though_every_part_is_killed(tmp_path: Path, database: Database) -> None:
    said: list[str] = []
    found = await run(database, ASKED, tmp_path, said.append)
    assert found["kills"] == dict.fromkeys(PARTS[database], 1)
    assert len(said) == len(PARTS[database])
    assert found["answers_cut"] == ASKED.kills
    assert found["answered"] + found["left"] + found["broken"] == found["requests"] == ASKED.requests
    assert found["answered"] > found["requests"] // 2
    assert (found["lost"], found["double"], found["off"], found["says_lost"]) == (0, 0, 0, 0)
    assert found["events"] >= found["answered"]
    assert found["client_left"] > 0
    assert found["tokens"] > found["answered"]
