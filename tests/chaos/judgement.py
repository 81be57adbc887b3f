"""What the ledger tells against what the engine handed over, event by event and in sum."""

import csv
import io
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from tests.chaos.engine import Tokens
from tests.integration.ledger_stack import Stack

_DAY_S: Final = 86_400
_REPORTS: Final = ("completions", "embeddings")


@dataclass(frozen=True)
class Event:
    """A row of the ledger's export."""

    id: str
    request_id: str
    tokens: Tokens
    outcome: str


@dataclass(frozen=True)
class Sums:
    """What the ledger's reports say of all requests together."""

    requests: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Judgement:
    """`lost`: events that the ledger has not, or with too few tokens, and answers that no event stands for. `double`:
    events that are there more than once, or with too many tokens. `off`: tokens that sums have too many or too few.
    """

    events: int
    tokens: int
    lost: int
    double: int
    off: int

    @property
    def is_sound(self) -> bool:
        """Whether everything was counted, and once."""
        return self.lost == self.double == self.off == 0


def judge(
    handed: Mapping[str, Tokens], answered: Mapping[str, Tokens], events: Collection[Event], sums: Sums
) -> Judgement:
    """`handed`: tokens by event id, as the engine's book has them; `answered`: by request id, as whole answers say."""
    stored = {event.id: event.tokens for event in events}
    told = {(event.request_id, event.tokens) for event in events}
    few = sum(_is_less(stored.get(each), tokens) for each, tokens in handed.items())
    many = sum(_is_less(handed.get(each), tokens) for each, tokens in stored.items())
    unknown = sum(answer not in told for answer in answered.items())
    prompt, completion = (sum(each[part] for each in handed.values()) for part in (0, 1))
    return Judgement(
        events=len(stored),
        tokens=prompt + completion,
        lost=few + unknown + max(len(stored) - sums.requests, 0),
        double=many + len(events) - len(stored) + max(sums.requests - len(stored), 0),
        off=abs(sums.prompt_tokens - prompt) + abs(sums.completion_tokens - completion),
    )


def _is_less(one: Tokens | None, other: Tokens) -> bool:
    """An event of no tokens need not be in the engine's book: its client may have left before the engine began."""
    found = one or (0, 0)
    return found[0] < other[0] or found[1] < other[1]


async def told(stack: Stack, since: float, until: float) -> tuple[list[Event], Sums]:
    """Events and sums that the ledger tells an admin, from the day of one instant to another (seconds since 1970)."""
    span = f"start_time={int(since) // _DAY_S * _DAY_S}&end_time={int(until)}"
    status, exported = await stack.get(f"/v1/organization/usage/export?{span}")
    assert status == 200, exported[:300]
    found = [0, 0, 0]
    for report in _REPORTS:
        status, said = await stack.get(f"/v1/organization/usage/{report}?{span}")
        assert status == 200, said[:300]
        for result in (each for bucket in json.loads(said)["data"] for each in bucket["results"]):
            new = (result["num_model_requests"], result["input_tokens"], result.get("output_tokens", 0))
            found = [before + more for before, more in zip(found, new, strict=True)]
    return [_event(row) for row in csv.DictReader(io.StringIO(exported.decode()))], Sums(*found)


def _event(row: Mapping[str, str]) -> Event:
    tokens = int(row["prompt_tokens"]), int(row["completion_tokens"])
    return Event(row["id"], row["request_id"], tokens, row["outcome"])
