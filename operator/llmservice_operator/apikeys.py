"""APIKeys: make the key once, show it in a Secret, keep a digest.

new ──► status: id, digest ──► Secret applied ──► Ready
             ▲                       │ killed between: status is not Ready
             └───────────────────────┘ → a new key, same Secret (server-side apply); the old was never shown as Ready
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from llmservice_api.apikey import APIKeySpec
from llmservice_api.names import APIKEYS
from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator.cluster import ApiError, Cluster
from llmservice_operator.conditions import Finding, false, merge, news, true
from llmservice_operator.execute import record, write_status
from llmservice_operator.keys import Key, digest, make_key
from llmservice_operator.observed import Install, instant
from llmservice_operator.resources.secret import make_key_secret
from llmservice_operator.store import Ref, Store

Json = dict[str, Any]


_LONGEST_WAIT: Final = 86400.0


def new_key() -> Key:
    """A key from the system's randomness."""
    return make_key(secrets.token_bytes(8), secrets.token_bytes(32))


@dataclass
class KeyIssuer:
    """What issuing takes: the watched APIKeys, the API server, the pepper, a source of keys, a clock."""

    store: Store
    cluster: Cluster
    install: Install
    pepper: bytes
    make: Callable[[], Key]
    clock: Callable[[], datetime]
    instance: str

    async def reconcile(self, key: tuple[str, str]) -> float | None:
        """Issue the key of APIKey (namespace, name) where there is none; returns seconds until it expires, or None."""
        api_key = self.store.get(Ref(APIKEYS, *key))
        if api_key is None or "deletionTimestamp" in api_key["metadata"]:
            return None
        try:
            spec = APIKeySpec.model_validate(api_key.get("spec") or {})
            expires = instant(spec.expires_at) if spec.expires_at else None
        except ValueError as error:  # pydantic's among them; an instant such as 23:59:60Z is no datetime
            # A key that was issued stays issued: mending the spec must not need a new one.
            kept = _issued_parts(api_key) if is_issued(api_key) else {}
            await self._say(api_key, kept, [false(ConditionType.READY, Reason.INVALID_SPEC, str(error))])
            return None
        status = _issued_parts(api_key)
        if not is_issued(api_key):
            issued = await self._issue(api_key)
            if isinstance(issued, Finding):
                await self._say(api_key, {}, [issued])
                return 30.0
            status = issued
        now = self.clock()
        await self._say(api_key, status, conditions(spec, now))
        left = (expires - now).total_seconds() if expires else None
        return min(left + 0.1, _LONGEST_WAIT) if left is not None and left > 0 else None

    async def _issue(self, api_key: Json) -> Json | Finding:
        key = self.make()
        metadata = api_key["metadata"]
        status = {"id": key.id, "digest": digest(self.pepper, key), "secretName": metadata["name"]}
        if not is_taken(api_key):  # else each try would write status twice, and each write is an event
            pending = false(ConditionType.READY, Reason.STARTING, "the Secret is being written")
            await self._say(api_key, status, [pending])
        secret = make_key_secret(api_key, key.text, f"{self.install.public_url}/v1")
        try:
            await self.cluster.apply("secrets", secret, force=False)
        except ApiError as error:
            if error.status not in (409, 422):
                raise
            message = (
                f"Secret {metadata['name']} exists and is not this APIKey's: rename the APIKey or delete the Secret"
            )
            return false(ConditionType.READY, Reason.SECRET_TAKEN, message)
        return status

    async def _say(self, api_key: Json, parts: Json, found: list[Finding]) -> None:
        metadata = api_key["metadata"]
        known = self.store.get(Ref(APIKEYS, metadata["namespace"], metadata["name"])) or api_key
        before = known.get("status") or {}
        generation = metadata["generation"]
        wanted = {key: value for key, value in parts.items() if value is not None} | {
            "observedGeneration": generation,
            "conditions": merge(found, before.get("conditions", []), generation, self.clock()),
        }
        if await write_status(self.cluster, self.store, APIKEYS, known, wanted):
            told = news(found, before.get("conditions", []))
            await record(self.cluster, "APIKey", api_key, told, self.clock(), self.instance)


def is_issued(api_key: Json) -> bool:
    """Whether the key was shown in its Secret: Ready was True once, and since then only the spec speaks against it."""
    status = api_key.get("status") or {}
    ready = [c for c in status.get("conditions", []) if c["type"] == ConditionType.READY]
    shown = bool(ready) and (
        ready[0]["status"] == "True" or ready[0]["reason"] in (Reason.EXPIRED, Reason.INVALID_SPEC)
    )
    return shown and bool(status.get("digest"))


def _issued_parts(api_key: Json) -> Json:
    return {key: (api_key.get("status") or {}).get(key) for key in ("id", "digest", "secretName")}


def is_taken(api_key: Json) -> bool:
    """Whether the last try found a Secret of the name that is not ours."""
    found = (api_key.get("status") or {}).get("conditions", [])
    return any(c["type"] == ConditionType.READY and c["reason"] == Reason.SECRET_TAKEN for c in found)


def conditions(spec: APIKeySpec, now: datetime) -> list[Finding]:
    """Conditions of an issued key."""
    found = [true(ConditionType.READY, Reason.ISSUED, "the key is in the Secret of the APIKey's name")]
    if spec.expires_at is not None and instant(spec.expires_at) <= now:
        message = f"the key expired at {spec.expires_at}: set a later spec.expiresAt or make a new APIKey"
        found = [false(ConditionType.READY, Reason.EXPIRED, message)]
    if spec.limits is not None or spec.budget_ref is not None:
        message = "spec.limits and spec.budgetRef are recorded, but this version's gateway does not enforce them"
        found.append(false(ConditionType.LIMITS_ENFORCED, Reason.NOT_YET_ENFORCED, message))
    return found
