"""What the gateway tells the ledger of limited keys, and what of its answers HAProxy must know: pure.

stick table `requests` ── requests_here ──> POST /v1/sync ── answer ──> told ── desired ──> maps `usage`, `blocks`
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from llmservice_gateway.desired import TOLD, Maps
from llmservice_gateway.objects import NEVER, NO_LIMITS, Key

TABLE: Final = "requests"
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
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotUnderstood(f"{type(error).__name__}: {error}") from error


def desired(said: Told, keys: Iterable[Key]) -> Maps:
    """What the maps should hold. A key and the one before it, while both are valid, have the same limits and budget."""
    maps: Maps = {name: {} for name in TOLD}
    for key in keys:
        ids = [proof.id for proof in key.proofs]
        used = [said.keys[each] for each in ids if each in said.keys]
        if used and key.limits != NO_LIMITS:
            minute = max(each.minute for each in used)
            now = [each for each in used if each.minute == minute]
            requests, tokens = sum(each.requests for each in now), sum(each.tokens for each in now)
            maps["usage"][key.id] = f"{minute}|{requests}|{tokens}"
        blocks = [said.blocks[each] for each in ids if each in said.blocks]
        if blocks:
            longest = max(blocks, key=lambda each: each.until)
            name = longest.budget if _BUDGET.fullmatch(longest.budget) else "-"
            maps["blocks"] |= {each: f"{min(longest.until, NEVER)}|{name}" for each in ids}
    return maps
