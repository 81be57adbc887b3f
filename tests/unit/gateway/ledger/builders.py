"""Usage events, keys, Budgets and prices as they come, short enough for a table."""

import uuid
from typing import Any

Json = dict[str, Any]
GATEWAY = "system:serviceaccount:llmservice-system:gateway"
KEY = f"{1:016x}"


def usage(time: str = "2026-03-01T12:00:00.000Z", **fields: Any) -> Json:
    """An event as a worker sends it; any field can be another."""
    return {
        "id": uuid.uuid4().hex,
        "time": time,
        "request_id": "req-1",
        "key_id": KEY,
        "namespace": "team-a",
        "service": "llama",
        "revision": "llama-0a1b2c",
        "model": "llama",
        "adapter": None,
        "route": "chat/completions",
        "prompt_tokens": 100,
        "cached_tokens": 40,
        "completion_tokens": 10,
        "outcome": "completed",
        "status": 200,
        "stream": False,
        "duration_ms": 1200,
        "ttft_ms": None,
    } | fields


def key(number: int = 1, budget: str | None = None, namespace: str = "team-a", **status: Any) -> Json:
    """An APIKey that was issued."""
    spec: Json = {"budgetRef": {"name": budget}} if budget else {}
    return {
        "metadata": _metadata(f"key-{number}", namespace),
        "spec": spec,
        "status": {"id": f"{number:016x}", "digest": "0" * 64} | status,
    }


def budget(name: str = "monthly", namespace: str = "team-a", **spec: Any) -> Json:
    """A Budget."""
    return {"metadata": _metadata(name, namespace) | {"uid": f"uid-{name}", "generation": 1}, "spec": spec}


def priced(prompt: str = "1", cached: str = "0.5", completion: str = "2", namespace: str = "team-a") -> Json:
    """The LLMService `llama` with prices."""
    pricing = {"promptPerMillion": prompt, "cachedPerMillion": cached, "completionPerMillion": completion}
    return {"metadata": _metadata("llama", namespace), "spec": {}, "status": {"pricing": pricing}}


def _metadata(name: str, namespace: str) -> Json:
    return {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"}
