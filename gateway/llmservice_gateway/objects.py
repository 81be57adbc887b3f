"""What the gateway reads of an LLMService and of an APIKey; everything else in them is ignored.

A field that is missing or malformed never raises: the object counts for less (no route, no key), so that
one odd object harms no other.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from llmservice_api.base import seconds

NEVER: Final = 2**53
"""Expiry, in milliseconds, of a key that does not expire."""

IDLE: Final = 900
"""Seconds that a wake stands where spec has no scaling: idleAfter by default."""

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_PATTERN: Final = re.compile(r"[A-Za-z0-9*?._:/-]+")
_KEY_ID: Final = re.compile(r"[0-9a-f]{16}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Address:
    """Where a model answers."""

    ip: str
    port: int


@dataclass(frozen=True)
class Hold:
    """How many requests wait while no replica is up, and how long, in seconds; none: each is refused at once."""

    requests: int = 0
    wait: int = 0


NO_HOLD: Final = Hold()


@dataclass(frozen=True)
class Wake:
    """That a gateway woke a service: when, in milliseconds since the epoch, and for how many requests."""

    at: int = 0
    requests: int = 0


NO_WAKE: Final = Wake()


@dataclass(frozen=True)
class Service:
    """An LLMService as the gateway sees it. `created` is seconds since the epoch.

    `models` are the model's name and aliases; `adapters` those of the spec that did not fail, each a name of its own.
    `dynamic`: `<model>:<name>` stands for an adapter that is loaded at its first use. `replicas`: None where status
    does not say. `sleeps`: it may have no replica, and then needs somebody who wakes it; `woken` is when somebody
    last did, in milliseconds since the epoch, `wakes` what each gateway said then, and `idle` for how many seconds
    that stands. No difference in `wakes` makes it another service: it is as cold as it was. `comes_up`: none of its
    revisions has given a token yet, so what is at `address` is not up.
    """

    namespace: str
    name: str
    created: int
    models: tuple[str, ...]
    address: Address | None
    host: str | None
    open: bool
    adapters: tuple[str, ...] = ()
    dynamic: bool = False
    replicas: int | None = None
    hold: Hold = NO_HOLD
    sleeps: bool = False
    woken: int = 0
    idle: int = IDLE
    wakes: Mapping[str, Wake] = field(default_factory=dict, compare=False)
    comes_up: bool = False

    @property
    def cold(self) -> bool:
        """Whether a request has to wait for it: nothing answers, or no replica is up."""
        return not self.answers or self.replicas == 0

    @property
    def answers(self) -> bool:
        """Whether it is served: by replicas that are up, or that a request brings back."""
        return self.address is not None and not self.comes_up

    @property
    def is_waited_for(self) -> bool:
        """Whether requests are held until it is up."""
        return self.cold and self.hold.requests > 0

    @property
    def route(self) -> str:
        """`<namespace>/<name>`, which is also how its URL begins."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Limits:
    """Bounds of one key: requests and tokens of a minute, requests under way; 0: no bound."""

    requests: int = 0
    tokens: int = 0
    parallel: int = 0


NO_LIMITS: Final = Limits()


@dataclass(frozen=True)
class Proof:
    """What one key is known by, until when. `expires` is milliseconds since the epoch, NEVER without an expiry."""

    id: str
    digest: str
    expires: int


@dataclass(frozen=True)
class Key:
    """An APIKey that was issued: its key and, while a rotation overlaps, the one before, under the same limits."""

    namespace: str
    name: str
    created: int
    proofs: tuple[Proof, ...]
    models: tuple[str, ...]
    limits: Limits = NO_LIMITS
    admin: bool = False

    @property
    def id(self) -> str:
        """Of the newest key; what all of them use is counted by it."""
        return self.proofs[0].id


def service(raw: Mapping[str, Any]) -> Service | None:
    """The LLMService, or None where it is going or has no usable name."""
    metadata, spec = _mapping(raw, "metadata"), _mapping(raw, "spec")
    namespace, name = metadata.get("namespace"), metadata.get("name")
    if metadata.get("deletionTimestamp") or not _fits(_LABEL, namespace) or not _fits(_LABEL, name):
        return None
    model, status, scaling = _mapping(spec, "model"), _mapping(raw, "status"), _mapping(spec, "scaling")
    host = status.get("host")  # the operator's word: what spec asks for may be refused
    names = [str(model.get("name") or name), *_strings(model, "aliases")]
    return Service(
        namespace=str(namespace),
        name=str(name),
        created=_seconds(metadata),
        models=tuple(dict.fromkeys(each for each in names if _fits(_MODEL, each))),
        address=address(status.get("address")),
        host=host if _fits(_SUBDOMAIN, host) else None,
        open=_mapping(spec, "access").get("mode") == "Open",
        adapters=_adapters(raw),
        dynamic="source" in _mapping(spec, "dynamicAdapters"),
        replicas=_replicas(status.get("replicas")),
        hold=_hold(_mapping(spec, "hold")),
        sleeps=0 in (spec.get("replicas"), scaling.get("minReplicas")),
        woken=_woken(status.get("wakeRequestedAt")),
        idle=_idle(scaling.get("idleAfter")),
        wakes=_wakes(_mapping(status, "wakes")),
        comes_up=_comes_up(_mapping(status, "revision")),
    )


def key(raw: Mapping[str, Any]) -> Key | None:
    """The APIKey, or None where it is going, was not issued yet, or has an expiry that says no instant.

    A previous key without an end is valid: its successor is being shown.
    """
    metadata, status = _mapping(raw, "metadata"), _mapping(raw, "status")
    namespace, name = metadata.get("namespace"), metadata.get("name")
    spec = _mapping(raw, "spec")
    expires = _milliseconds(spec.get("expiresAt"))
    issued = _proof(status, expires)
    if metadata.get("deletionTimestamp") or not _fits(_LABEL, namespace) or issued is None or expires is None:
        return None
    before = _mapping(status, "previous")
    until = _milliseconds(before.get("validUntil"))
    previous = _proof(before, until if until is None else min(expires, until))
    admin = spec.get("role") == "Admin"
    return Key(
        namespace=str(namespace),
        name=str(name),
        created=_seconds(metadata),
        proofs=(issued,) if previous is None else (issued, previous),
        models=() if admin else _patterns(spec),
        limits=_limits(_mapping(spec, "limits")),
        admin=admin,
    )


def _proof(raw: Mapping[str, Any], expires: int | None) -> Proof | None:
    if expires is None or not _fits(_KEY_ID, raw.get("id")) or not _fits(_DIGEST, raw.get("digest")):
        return None
    return Proof(raw["id"], raw["digest"], expires)


def _patterns(spec: Mapping[str, Any]) -> tuple[str, ...]:
    if "models" not in spec:
        return ("*",)
    return tuple(each for each in _strings(spec, "models") if _fits(_PATTERN, each))


def _limits(raw: Mapping[str, Any]) -> Limits:
    names = ("requestsPerMinute", "tokensPerMinute", "parallel")
    return Limits(*(_count(raw.get(name)) for name in names))


def _hold(raw: Mapping[str, Any]) -> Hold:
    wait, most = raw.get("maxWait"), _count(raw.get("maxRequests"))
    return Hold(most, seconds(wait)) if most and isinstance(wait, str) else NO_HOLD


def _replicas(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _comes_up(revision: Mapping[str, Any]) -> bool:
    return "pending" in revision and "active" not in revision


def _woken(instant: object) -> int:
    return (_milliseconds(instant) or 0) if instant is not None else 0


def _idle(duration: object) -> int:
    return seconds(duration) if isinstance(duration, str) else IDLE


def _wakes(raw: Mapping[str, Any]) -> dict[str, Wake]:
    said = {name: _mapping(raw, name) for name in raw}
    return {name: Wake(_woken(each.get("requestedAt")), _count(each.get("requests"))) for name, each in said.items()}


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def address(text: object) -> Address | None:
    """`<ip>:<port>` (an IPv6 address in brackets), or None where the text is none."""
    if not isinstance(text, str):
        return None
    ip, _, port = text.rpartition(":")
    try:
        parsed = ipaddress.ip_address(ip.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        return None
    return Address(str(parsed), int(port))


def _adapters(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the spec's adapters, but for those that status calls Failed: nothing answers under them."""
    status = _mapping(raw, "status")
    failed = {str(each.get("name")) for each in _mappings(status, "adapters") if each.get("state") == "Failed"}
    names = [each.get("name") for each in _mappings(_mapping(raw, "spec"), "adapters")]
    return tuple(dict.fromkeys(str(name) for name in names if _fits(_MODEL, name) and name not in failed))


def _milliseconds(instant: object) -> int | None:
    if instant is None:
        return NEVER
    try:
        moment = datetime.fromisoformat(str(instant).upper())
    except ValueError:
        return None
    return int(moment.timestamp() * 1000) if moment.tzinfo is not None else None


def _seconds(metadata: Mapping[str, Any]) -> int:
    try:
        moment = datetime.fromisoformat(str(metadata.get("creationTimestamp")))
    except ValueError:
        return 0
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())


def _mapping(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, Mapping) else {}


def _strings(raw: Mapping[str, Any], name: str) -> list[str]:
    value = raw.get(name)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _mappings(raw: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = raw.get(name)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
