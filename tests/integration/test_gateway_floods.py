"""While one key floods the gateway no request of another key is refused or lost, small or large."""

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio

from llmservice_gateway.pace import Pace
from tests.integration.gateway_stack import Stack, running
from tests.unit.gateway.builders import apikey, llmservice, secret_key

CHAT = "/v1/chat/completions"
VICTIM, LARGE, LIMITED = (secret_key(number) for number in range(1, 4))
BODY = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
BODIES = (BODY, BODY | {"pad": "x" * 100_000})
"""What the victim asks: HAProxy reads the one itself, the activator the other."""
TIMES = 40
"""How often it asks each."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Flood:
    """So many senders at once, each again as soon as it is answered; `least` is how many answers make it a flood."""

    key: str
    size: int
    senders: int
    statuses: frozenset[int]
    least: int


FLOODS: Mapping[str, Flood] = {
    "beyond its limits": Flood(LIMITED, 100, 16, frozenset({200, 429}), 4 * TIMES),
    "8 MiB bodies": Flood(LARGE, 8 * 1024 * 1024, 6, frozenset({200, 503}), 6),
    "wrong keys": Flood(secret_key(1, "t" * 43), 100, 16, frozenset({401}), 4 * TIMES),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with running() as found:
        await found.put("llmservices", llmservice("llama", address=found.upstream.address))
        limits = {"requestsPerMinute": 5, "parallel": 2}
        await found.put("apikeys", apikey(1), apikey(2), apikey(3, limits=limits))
        yield found


class Flooding:
    """A flood that goes on until it is told to end."""

    def __init__(self, stack: Stack, flood: Flood) -> None:
        self.statuses: Counter[int] = Counter()
        self.ended = asyncio.Event()
        self._stack = stack
        self._flood = flood
        head = b'{"model": "llama", "a": "'
        self._body = head + b"x" * (flood.size - len(head) - 2) + b'"}'

    async def send(self) -> None:
        """One of its senders; goes on until there were enough to call it a flood."""
        headers = {"Authorization": f"Bearer {self._flood.key}", "Content-Type": "application/json"}
        while not self.ended.is_set() or self.statuses.total() < self._flood.least:
            answer = await self._stack.ask("POST", CHAT, data=io.BytesIO(self._body), headers=headers)
            self.statuses[answer.status] += 1


@pytest.mark.parametrize("name", FLOODS)
async def test_no_request_of_another_key_is_refused_or_lost(stack: Stack, name: str) -> None:
    flood, stack.upstream.seen[:] = FLOODS[name], []
    flooding = Flooding(stack, flood)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(flood.senders):
            tasks.create_task(flooding.send())
        answers = [await stack.post(CHAT, body, VICTIM) for _ in range(TIMES) for body in BODIES]
        flooding.ended.set()
    assert Counter(answer.status for answer in answers) == {200: TIMES * len(BODIES)}
    asked = [body for _, headers, body in stack.upstream.seen if headers["x-llmservice-key-id"] == f"{1:016x}"]
    assert Counter(asked) == {json.dumps(body).encode(): TIMES for body in BODIES}
    assert set(flooding.statuses) <= flood.statuses
    assert flooding.statuses.total() >= flood.least


@pytest.mark.parametrize(("key", "owner"), [(LARGE, f"{2:016x}"), (None, "")], ids=["of a key", "of an Open service"])
async def test_a_body_that_is_too_large_is_read_at_its_own_keys_pace(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, key: str | None, owner: str
) -> None:
    owners = set()

    async def keep(_: Pace, whose: str, __: int) -> None:
        owners.add(whose)

    monkeypatch.setattr(Pace, "keep", keep)
    await stack.put("llmservices", llmservice("open", address=stack.upstream.address, mode="Open"))
    headers = {"x-llmservice-key-id": f"{1:016x}"} | ({"Authorization": f"Bearer {key}"} if key else {})
    body = io.BytesIO(b"x" * (stack.settings.large_body + 1))
    answer = await stack.ask("POST", f"/team-a/open{CHAT}", data=body, headers=headers)
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert owners == {owner}
