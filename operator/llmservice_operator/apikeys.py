"""APIKeys: make the key once, show it in a Secret, keep a digest.

wanted ──► status: id, digest ──► Secret applied ──► status: Ready, an end for the key before
             ▲                           │ killed between: the Secret's annotation says which key it shows
             └── it shows another ───────┴── it shows this one: go on with Ready ──►
"""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from llmservice_api.apikey import APIKeySpec
from llmservice_api.names import APIKEYS, BUDGETS
from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator.cluster import ApiError, Cluster
from llmservice_operator.conditions import Finding, false, merge, news, true
from llmservice_operator.execute import record, write_status
from llmservice_operator.keys import Key, digest, make_key
from llmservice_operator.observed import Install, instant, is_owned
from llmservice_operator.resources.secret import KEY_ID_ANNOTATION, make_key_secret
from llmservice_operator.rotation import (
    is_being_shown,
    is_issued,
    is_taken,
    keys_of,
    previous_end,
    shown,
    valid,
    wanted_serial,
    with_new,
)
from llmservice_operator.store import Ref, Store

Json = dict[str, Any]


_LONGEST_WAIT: Final = 86400.0
_TAKEN_AGAIN: Final = 30.0


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
        """Show the key that APIKey (namespace, name) wants; returns seconds until one of its keys ends, or None."""
        api_key = self.store.get(Ref(APIKEYS, *key))
        if api_key is None or "deletionTimestamp" in api_key["metadata"]:
            return None
        try:
            spec = APIKeySpec.model_validate(api_key.get("spec") or {})
            expires = instant(spec.expires_at) if spec.expires_at else None
        except ValueError as error:  # pydantic's among them; an instant such as 23:59:60Z is no datetime
            # A key that was issued stays issued: mending the spec must not need a new one.
            await self._say(api_key, _kept(api_key), [false(ConditionType.READY, Reason.INVALID_SPEC, str(error))])
            return None
        keys = await self._brought(api_key, spec)
        if keys is None:
            await self._say(api_key, _kept(api_key), [_taken(api_key)])
            return _TAKEN_AGAIN
        now = self.clock()
        keys = valid(keys, spec, now)
        await self._say(api_key, keys, conditions(spec, now, self._limits_enforced(api_key, spec)))
        return _until_the_first((expires, previous_end(keys)), now)

    async def _brought(self, api_key: Json, spec: APIKeySpec) -> Json | None:
        """Keys of status, once the Secret shows the one that is wanted; None where its name is another Secret's."""
        keys, pending = keys_of(api_key), is_being_shown(api_key)
        serial = wanted_serial(spec, keys)
        if is_issued(api_key) and not pending and keys.get("serial", 1) == serial:
            return keys
        metadata = api_key["metadata"]
        secret = await self.cluster.metadata("secrets", metadata["namespace"], metadata["name"])
        if secret is not None and not is_owned(secret, metadata["uid"]):
            return None
        last = keys.get("previous") if pending else keys if is_issued(api_key) else None
        if pending and _key_id(secret) == keys["id"]:
            last = shown(keys, spec, self.clock())
            if last.get("serial", 1) == serial:
                return last
        return await self._replaced(api_key, spec, secret, last)

    async def _replaced(self, api_key: Json, spec: APIKeySpec, secret: Json | None, last: Json | None) -> Json | None:
        """Make another key than `last`, and show it in the Secret, of which `secret` is the metadata."""
        key, metadata = self.make(), api_key["metadata"]
        serial = wanted_serial(spec, keys_of(api_key))
        parts = {"id": key.id, "digest": digest(self.pepper, key), "secretName": metadata["name"], "serial": serial}
        keys = with_new(parts, last)
        version = secret["metadata"]["resourceVersion"] if secret is not None else None
        made = make_key_secret(api_key, key.id, key.text, f"{self.install.public_url}/v1", version)
        try:
            if is_taken(api_key):  # else each try would write status twice, and each write is an event
                await self.cluster.apply("secrets", made, force=secret is not None, trial=True)
            pending = false(ConditionType.READY, Reason.STARTING, "the Secret is being written")
            await self._say(api_key, keys, None if is_issued(api_key) else [pending])
            await self.cluster.apply("secrets", made, force=secret is not None)
        except ApiError as error:
            if error.status not in (409, 422):
                raise
            return None
        return shown(keys, spec, self.clock())

    def _limits_enforced(self, api_key: Json, spec: APIKeySpec) -> Finding | None:
        reference = spec.budget_ref
        budget = Ref(BUDGETS, api_key["metadata"]["namespace"], reference.name) if reference else None
        there = budget is None or self.store.get(budget) is not None
        return limits_enforced(spec, budget_exists=there, metering=self.install.ledger_url is not None)

    async def _say(self, api_key: Json, parts: Json, found: list[Finding] | None) -> None:
        """Write status; `found` None leaves the conditions as they are."""
        metadata = api_key["metadata"]
        known = self.store.get(Ref(APIKEYS, metadata["namespace"], metadata["name"])) or api_key
        before = (known.get("status") or {}).get("conditions", [])
        generation = metadata["generation"]
        conditions = before if found is None else merge(found, before, generation, self.clock())
        wanted = parts | {"observedGeneration": generation, "conditions": conditions}
        if await write_status(self.cluster, self.store, APIKEYS, known, wanted):
            await record(self.cluster, "APIKey", api_key, news(found or [], before), self.clock(), self.instance)


def conditions(spec: APIKeySpec, now: datetime, limits: Finding | None) -> list[Finding]:
    """Conditions of an issued key."""
    ready = true(ConditionType.READY, Reason.ISSUED, "the key is in the Secret of the APIKey's name")
    if spec.expires_at is not None and instant(spec.expires_at) <= now:
        message = f"the key expired at {spec.expires_at}: set a later spec.expiresAt or make a new APIKey"
        ready = false(ConditionType.READY, Reason.EXPIRED, message)
    return [ready, limits] if limits is not None else [ready]


def limits_enforced(spec: APIKeySpec, *, budget_exists: bool, metering: bool) -> Finding | None:
    """Whether the key is held to all that its spec bounds it by; None where that is nothing."""
    kind = ConditionType.LIMITS_ENFORCED
    if spec.limits is None and spec.budget_ref is None:
        return None
    if spec.budget_ref is not None and not budget_exists:
        message = f"spec.budgetRef names {spec.budget_ref.name}, but there is no such Budget here: create or correct it"
        return false(kind, Reason.BUDGET_NOT_FOUND, message)
    if not metering and (spec.budget_ref is not None or (spec.limits and spec.limits.tokens_per_minute)):
        message = "tokens are not counted, so neither tokensPerMinute nor a Budget holds: set ledger.enabled (chart)"
        return false(kind, Reason.METERING_OFF, message)
    return true(kind, Reason.ENFORCED, "the gateway holds the key to spec.limits and its Budget")


def _kept(api_key: Json) -> Json:
    return keys_of(api_key) if is_issued(api_key) else {}


def _taken(api_key: Json) -> Finding:
    name = api_key["metadata"]["name"]
    message = f"Secret {name} exists and is not this APIKey's: rename the APIKey or delete the Secret"
    return false(ConditionType.READY, Reason.SECRET_TAKEN, message)


def _key_id(secret: Json | None) -> str | None:
    annotations: Json = (secret or {}).get("metadata", {}).get("annotations", {})
    return annotations.get(KEY_ID_ANNOTATION)


def _until_the_first(ends: Iterable[datetime | None], now: datetime) -> float | None:
    """Seconds until the first of the instants that are to come, at most a day; None where there is none."""
    left = [(end - now).total_seconds() for end in ends if end is not None and end > now]
    return min(min(left) + 0.1, _LONGEST_WAIT) if left else None
