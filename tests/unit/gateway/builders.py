"""Objects as the apiserver sends them, short enough for a table."""

import base64
from typing import Any

from llmservice_gateway.pepper import Pepper

PEPPER = Pepper(base64.b64encode(bytes(range(32))).decode())


def secret_key(number: int, secret: str = "s" * 43) -> str:
    """The text of a key with the id `number`."""
    return f"llms_{number:016x}.{secret}"


def llmservice(name: str, namespace: str = "team-a", created: str = "2026-01-01T00:00:00Z", **fields: Any) -> Any:
    """An LLMService.

    `fields`: model, aliases, address, host, mode, adapters, failed, dynamic, deleted; replicas (that run), hold (most
    requests, seconds), sleeps, idle, woken, wakes, revision.
    """
    model: dict[str, Any] = {"source": "hf://org/name"}
    if "model" in fields:
        model["name"] = fields["model"]
    if "aliases" in fields:
        model["aliases"] = fields["aliases"]
    spec: dict[str, Any] = {"model": model, "fieldOfTomorrow": {"a": [1]}}
    if "adapters" in fields:
        spec["adapters"] = [{"name": each, "source": "pvc://models/a"} for each in fields["adapters"]]
    if fields.get("dynamic"):
        spec["dynamicAdapters"] = {"source": "pvc://models/adapters"}
    if "mode" in fields:
        spec["access"] = {"mode": fields["mode"]}
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    if fields.get("deleted"):
        metadata["deletionTimestamp"] = created
    if "hold" in fields:
        spec["hold"] = {"maxRequests": fields["hold"][0], "maxWait": f"{fields['hold'][1]}s"}
    if "idle" in fields:
        spec["scaling"] = {"minReplicas": 0 if fields.get("sleeps") else 1, "idleAfter": fields["idle"]}
    elif fields.get("sleeps"):
        spec["replicas"] = 0
    status: dict[str, Any] = {
        part: fields[part] for part in ("address", "host", "replicas", "wakes", "revision") if part in fields
    }
    if "woken" in fields:
        status["wakeRequestedAt"] = fields["woken"]
    if "failed" in fields:
        status["adapters"] = [{"name": each, "state": "Failed"} for each in fields["failed"]]
    return {"metadata": metadata, "spec": spec, "status": status}


def apikey(number: int, namespace: str = "team-a", created: str = "2026-01-01T00:00:00Z", **fields: Any) -> Any:
    """An issued APIKey for `secret_key(number)`.

    `fields`: models, limits, role, expires, key (its whole text), previous (number of the key before), until, deleted.
    """
    spec: dict[str, Any] = {name: fields[name] for name in ("models", "limits", "role") if name in fields}
    if "expires" in fields:
        spec["expiresAt"] = fields["expires"]
    metadata = {"name": f"key-{number}", "namespace": namespace, "creationTimestamp": created}
    if fields.get("deleted"):
        metadata["deletionTimestamp"] = created
    digest = PEPPER.digest(fields.get("key", secret_key(number)))
    status: dict[str, Any] = {"id": f"{number:016x}", "digest": digest}
    if "previous" in fields:
        before = fields["previous"]
        status["previous"] = {"id": f"{before:016x}", "digest": PEPPER.digest(secret_key(before))}
        status["previous"] |= {"validUntil": fields["until"]} if "until" in fields else {}
    return {"metadata": metadata, "spec": spec, "status": status}
