"""Reports in OpenAI's shapes: which there are, and what stands in a bucket's results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement

from llmservice_gateway.ledger.pricing import decimal
from llmservice_gateway.ledger.query import COST_LIMITS, WIDTHS, Asked, Bucket, Kind
from llmservice_gateway.ledger.reports import Sums
from llmservice_gateway.ledger.schema import USAGE

Json = dict[str, Any]
Filter = tuple[ColumnElement[bool], ...]
_EMBEDDING: Final = ("embeddings", "score", "rerank", "classify")
_AUDIO: Final = "audio/%"
_LISTS: Final = ("project_ids", "user_ids", "api_key_ids", "models")
_GROUPS: Final = ("project_id", "user_id", "api_key_id", "model")
LINE_ITEM: Final = "line_item"


@dataclass(frozen=True)
class Report:
    """One of the URLs under /v1/organization/usage/. `routes` None: nothing here is of its kind."""

    name: str
    kind: Kind
    routes: Filter | None
    amounts: Callable[[Mapping[str, int]], Json]


def _completions(sums: Mapping[str, int]) -> Json:
    return {
        "input_tokens": sums["prompt_tokens"],
        "input_cached_tokens": sums["cached_tokens"],
        "input_uncached_tokens": sums["prompt_tokens"] - sums["cached_tokens"],
        "output_tokens": sums["completion_tokens"],
        "input_audio_tokens": 0,
        "output_audio_tokens": 0,
        "num_model_requests": sums["requests"],
    }


def _embeddings(sums: Mapping[str, int]) -> Json:
    return {"input_tokens": sums["prompt_tokens"], "num_model_requests": sums["requests"]}


def _transcriptions(sums: Mapping[str, int]) -> Json:
    """Audio is metered in tokens; how long it was, no event says."""
    tokens = {"input_tokens": sums["prompt_tokens"], "output_tokens": sums["completion_tokens"]}
    return {"seconds": None, "num_model_requests": sums["requests"], **tokens}


def _usage(*more: str) -> Kind:
    filters = (*_LISTS, *(name for name in more if name == "batch"))
    return Kind((*_GROUPS, *more), filters, tuple(WIDTHS))


def _nothing_of(name: str, *more: str) -> Report:
    return Report(name, _usage(*more), None, dict)


REPORTS: Final = (
    Report(
        "completions",
        _usage("batch", "service_tier", "api_source"),
        (USAGE.c.route.not_in(_EMBEDDING), USAGE.c.route.not_like(_AUDIO)),
        _completions,
    ),
    Report("embeddings", _usage(), (USAGE.c.route.in_(_EMBEDDING),), _embeddings),
    Report("audio_transcriptions", _usage(), (USAGE.c.route.like(_AUDIO),), _transcriptions),
    _nothing_of("audio_speeches"),
    _nothing_of("code_interpreter_sessions"),
    _nothing_of("decisions"),
    _nothing_of("file_search_calls", "vector_store_id"),
    _nothing_of("images", "size", "source"),
    _nothing_of("moderations"),
    _nothing_of("vector_stores"),
    _nothing_of("web_search_calls", "context_level"),
)

COSTS: Final = Kind(
    ("project_id", "user_id", LINE_ITEM, "api_key_id", "api_source"),
    ("project_ids", "api_key_ids", "user_ids", "line_items"),
    ("1d",),
    COST_LIMITS,
)
LINE_ITEMS: Final[Mapping[str, tuple[str, Callable[[Mapping[str, int]], int]]]] = {
    "input_tokens": ("prompt_cost", lambda sums: sums["prompt_tokens"] - sums["cached_tokens"]),
    "cached_input_tokens": ("cached_cost", lambda sums: sums["cached_tokens"]),
    "output_tokens": ("completion_cost", lambda sums: sums["completion_tokens"]),
}
"""Parts of a cost, and how many tokens each is of; a line item is `<model>, <part>`."""


def usage_results(report: Report, found: Sequence[Sums]) -> list[Json]:
    """A bucket's results."""
    head = {"object": f"organization.usage.{report.name}.result"}
    return [head | report.amounts(each.sums) | _group(report.kind, each) for each in found]


def cost_results(asked: Asked, found: Sequence[Sums], currency: str) -> list[Json]:
    """A bucket's costs; grouped by line item, one for each part that cost something."""
    if LINE_ITEM not in asked.groups and "line_items" not in asked.filters:
        return [_cost(each, sum(each.sums[name] for name, _ in LINE_ITEMS.values()), currency) for each in found]
    wanted = asked.filters.get("line_items")
    return [
        _cost(each, each.sums[name], currency)
        | {LINE_ITEM: item, "quantity": tokens(each.sums), "quantity_unit": "tokens"}
        for each in found
        for part, (name, tokens) in LINE_ITEMS.items()
        for item in [f"{each.group['model']}, {part}"]
        if tokens(each.sums) and (wanted is None or item in wanted)
    ]


def page(asked: Asked, results: Mapping[Bucket, list[Json]]) -> Json:
    """The whole answer."""
    buckets = [
        {"object": "bucket", "start_time": bucket.start, "end_time": bucket.end, "results": results.get(bucket, [])}
        for bucket in asked.buckets
    ]
    more = asked.next_page is not None
    return {"object": "page", "data": buckets, "has_more": more, "next_page": asked.next_page}


def _cost(each: Sums, units: int, currency: str) -> Json:
    # JSON has no decimals: a double holds about 15 digits, exports hold all of them.
    amount = {"value": float(decimal(units)), "currency": currency}
    head = {"object": "organization.costs.result", "amount": amount, LINE_ITEM: None}
    return head | _group(COSTS, each) | {"quantity": None, "quantity_unit": None}


def _group(kind: Kind, each: Sums) -> Json:
    return {name: each.group.get(name) for name in kind.groups if name != LINE_ITEM}
