"""What the gateway tells the ledger of limited keys, and what of its answers HAProxy must know: pure.

table `requests` ── requests_here ──> POST /v1/sync ── answer ──> told ── windows ──> table `usage`
                                                                       └── blocked ──> map `blocks`
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llmservice_gateway.desired import Maps
from llmservice_gateway.objects import NEVER, NO_LIMITS, Key

HERE: Final = "requests"
TOLD_OF: Final = "usage"
"""Names of the tables."""
_MOST: Final = 2**32 - 1
"""What a counter of HAProxy holds."""
_ENTRY: Final = re.compile(r"^0x\S+: key=(?P<id>[0-9a-f]{16}):(?P<minute>\d+) .*\bgpc0=(?P<count>\d+)$", re.MULTILINE)
_BUDGET: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class NotUnderstood(Exception):
    """The ledger's answer is not what the contract says; the message names the part."""


@dataclass(frozen=True)
class Usage:
    """What a key used in a minute (of the epoch): requests at other gateways, tokens in all."""

    minute: int
    requests: int
    tokens: int


@dataclass(frozen=True)
class Block:
    """A key whose budget is spent, until an instant in milliseconds since the epoch."""

    until: int
    budget: str


@dataclass(frozen=True)
class Told:
    """One answer of the ledger, by key id."""

    version: int
    keys: Mapping[str, Usage]
    blocks: Mapping[str, Block]


def requests_here(table: str, minute: int) -> dict[str, dict[str, int]]:
    """Of HAProxy's `show table`, the requests of each key in the minute, as the ledger is told them."""
    found = (match.groupdict() for match in _ENTRY.finditer(table))
    return {
        each["id"]: {"minute": minute, "count": int(each["count"])} for each in found if int(each["minute"]) == minute
    }


def told(answer: Any) -> Told:
    """The ledger's answer; raises NotUnderstood."""
    try:
        keys = {
            str(key): Usage(int(each["minute"]), int(each["requests"]), int(each["tokens"]))
            for key, each in answer["keys"].items()
        }
        blocks = {str(key): Block(int(each["until"]), str(each["budget"])) for key, each in answer["blocks"].items()}
        return Told(int(answer["version"]), keys, blocks)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise NotUnderstood(f"{type(error).__name__}: {error}") from error


def windows(said: Told, keys: Iterable[Key]) -> dict[str, tuple[int, int]]:
    """Of each limited key's minute, `<id>:<minute>`, requests at other gateways and tokens.

    A key and the one before it, while both are valid, have the same limits.
    """
    found: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key.limits == NO_LIMITS:
            continue
        for used in (said.keys[proof.id] for proof in key.proofs if proof.id in said.keys):
            window = f"{key.id}:{used.minute}"
            requests, tokens = found.get(window, (0, 0))
            found[window] = (min(requests + used.requests, _MOST), min(tokens + used.tokens, _MOST))
    return found


def blocked(said: Told, keys: Iterable[Key]) -> Maps:
    """What `blocks` should hold. A key and the one before it have the same budget."""
    entries: dict[str, str] = {}
    for key in keys:
        blocks = [said.blocks[proof.id] for proof in key.proofs if proof.id in said.blocks]
        if blocks:
            longest = max(blocks, key=lambda each: each.until)
            name = longest.budget if _BUDGET.fullmatch(longest.budget) else "-"
            entries |= {proof.id: f"{min(longest.until, NEVER)}|{name}" for proof in key.proofs}
    return {"blocks": entries}
