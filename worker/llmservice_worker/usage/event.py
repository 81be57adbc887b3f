"""The usage event: what is charged by, one for each request to a model; field names are the ledger's columns."""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from llmservice_worker.access import Access, Outcome
from llmservice_worker.args import Origin
from llmservice_worker.routes import engine_named
from llmservice_worker.usage.tally import Tally

_COMPLETIONS: Final = "completions"
_VERSIONS: Final = ("/v1/", "/v2/", "/")


@dataclass(frozen=True)
class UsageEvent:
    """Times are in milliseconds, `time` is the request's end; `status` None: no answer was begun."""

    id: str
    time: str
    request_id: str
    key_id: str
    namespace: str
    service: str
    revision: str
    model: str
    adapter: str | None
    route: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    outcome: Outcome
    status: int | None
    stream: bool
    duration_ms: int
    ttft_ms: int | None

    def line(self) -> bytes:
        """As one line of JSON, its end included."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"


def usage_event(
    tally: Tally, model: str, access: Access, origin: Origin, names: Collection[str], now: datetime
) -> UsageEvent:
    """The event of a request that has ended; `names` are the model's own, any other is an adapter's."""
    return UsageEvent(
        id=tally.id,
        time=instant(now),
        request_id=access.request_id,
        key_id=access.key_id,
        namespace=origin.namespace,
        service=origin.service,
        revision=origin.revision,
        model=model,
        adapter=None if model in names else model,
        route=route_name(access.path),
        prompt_tokens=tally.prompt_tokens,
        cached_tokens=tally.cached_tokens,
        completion_tokens=tally.completion_tokens,
        outcome=access.outcome,
        status=access.status,
        stream=access.stream,
        duration_ms=round(access.duration_ms),
        ttft_ms=None if access.ttft_ms is None else round(access.ttft_ms),
    )


def tokens(lines: Iterable[bytes]) -> int:
    """Prompt and completion tokens of events, each as a line."""
    found = map(json.loads, lines)
    return sum(each["prompt_tokens"] + each["completion_tokens"] for each in found)


def instant(now: datetime) -> str:
    """RFC 3339, UTC, with milliseconds."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def route_name(path: str) -> str:
    """`chat/completions` for `/v1/chat/completions`; the legacy path with an engine's name is `completions` too."""
    if engine_named(path) is not None:
        return _COMPLETIONS
    version = next(prefix for prefix in _VERSIONS if path.startswith(prefix))
    return path.removeprefix(version)
