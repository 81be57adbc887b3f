"""From lists of single namespaces to one list and its changes."""

from typing import Any

import pytest

from llmservice_gateway.parts import Parts
from llmservice_gateway.source import Event, Gone, Listed, Put


def named(namespace: str, name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, **more}


A, B, C = named("a", "x"), named("b", "x"), named("b", "y")
NEWER = named("b", "x", spec={})

TOLD: dict[str, tuple[list[tuple[str, Event]], list[Event | None]]] = {
    "the last list tells of all": (
        [("a", Listed("apikeys", [A])), ("b", Listed("apikeys", [B, C]))],
        [None, Listed("apikeys", [A, B, C])],
    ),
    "what happened before is in it": (
        [("b", Listed("apikeys", [B, C])), ("b", Gone("apikeys", C)), ("b", Put("apikeys", NEWER)),
         ("a", Listed("apikeys", []))],
        [None, None, None, Listed("apikeys", [NEWER])],
    ),
    "in the order of the namespaces": (
        [("b", Listed("apikeys", [B])), ("a", Listed("apikeys", [A]))],
        [None, Listed("apikeys", [A, B])],
    ),
    "each kind by itself": (
        [("a", Listed("apikeys", [A])), ("b", Listed("llmservices", [])), ("a", Listed("llmservices", []))],
        [None, None, Listed("llmservices", [])],
    ),
    "changes are told as they are": (
        [("a", Listed("apikeys", [])), ("b", Listed("apikeys", [])), ("a", Put("apikeys", A)),
         ("a", Gone("apikeys", A))],
        [None, Listed("apikeys", []), Put("apikeys", A), Gone("apikeys", A)],
    ),
    "a list anew leaves other namespaces alone": (
        [("a", Listed("apikeys", [A])), ("b", Listed("apikeys", [])), ("b", Put("apikeys", C)),
         ("a", Listed("apikeys", []))],
        [None, Listed("apikeys", [A]), Put("apikeys", C), Listed("apikeys", [C])],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("happened", "told"), TOLD.values(), ids=TOLD)
def test_what_is_told(happened: list[tuple[str, Event]], told: list[Event | None]) -> None:
    parts = Parts(("a", "b"))
    assert [parts.whole(namespace, event) for namespace, event in happened] == told
