"""Which keys of an APIKey are valid: what its status says of them, step by step, as pure functions.

                     id, digest          previous
first key made       new                 -                     Ready is False, Starting
  shown in Secret    new                 -                     Ready
another is wanted    new                 the last one shown    no validUntil: the Secret shows one of the two
  shown in Secret    new                 the last one shown    valid until then, and then gone
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from llmservice_api.apikey import APIKeySpec, Rotation
from llmservice_api.base import seconds
from llmservice_api.reasons import ConditionType, Reason
from llmservice_operator.observed import instant, rfc3339

Json = dict[str, Any]

_PARTS: Final = ("id", "digest", "secretName", "serial", "previous")
_ONLY_THE_SPEC: Final = (Reason.EXPIRED, Reason.INVALID_SPEC, Reason.SECRET_TAKEN)
"""Why an APIKey whose key was shown may not be Ready."""


def keys_of(api_key: Json) -> Json:
    """The part of status that speaks of keys."""
    status = api_key.get("status") or {}
    return {part: status[part] for part in _PARTS if part in status}


def is_issued(api_key: Json) -> bool:
    """Whether a key was shown in its Secret: Ready was True once, and since then only the spec speaks against it."""
    ready = _ready(api_key)
    shown = ready.get("status") == "True" or ready.get("reason") in _ONLY_THE_SPEC
    return shown and "digest" in keys_of(api_key)


def is_being_shown(api_key: Json) -> bool:
    """Whether the newest key was made, and whether the Secret shows it is not known."""
    keys = keys_of(api_key)
    if "previous" in keys:
        return "validUntil" not in keys["previous"]
    return "digest" in keys and _ready(api_key).get("reason") == Reason.STARTING


def is_taken(api_key: Json) -> bool:
    """Whether the last try found a Secret of the name that is not ours."""
    return _ready(api_key).get("reason") == Reason.SECRET_TAKEN


def wanted_serial(spec: APIKeySpec, keys: Mapping[str, Any]) -> int:
    """The serial of the key that is wanted; a spec that does not speak of rotation wants the one that there is."""
    return spec.rotation.serial if spec.rotation else int(keys.get("serial", 1))


def with_new(new: Json, last_shown: Json | None) -> Json:
    """Keys once another is made, before the Secret shows it: what the Secret shows until then stays valid."""
    if not last_shown:
        return new
    return new | {"previous": {"id": last_shown["id"], "digest": last_shown["digest"]}}


def shown(keys: Json, spec: APIKeySpec, now: datetime) -> Json:
    """Keys once the Secret shows the newest: the one before gets its end."""
    if "previous" not in keys or "validUntil" in keys["previous"]:
        return keys
    return keys | {"previous": keys["previous"] | {"validUntil": rfc3339(now + _overlap(spec.rotation or Rotation()))}}


def valid(keys: Json, spec: APIKeySpec, now: datetime) -> Json:
    """Keys that are valid now: the one before goes at its end, earlier where the spec's overlap became shorter."""
    end = previous_end(keys)
    if end is None:
        return keys
    if spec.rotation is not None:
        end = min(end, now + _overlap(spec.rotation))
    if end <= now:
        return {part: value for part, value in keys.items() if part != "previous"}
    return keys | {"previous": keys["previous"] | {"validUntil": rfc3339(end)}}


def previous_end(keys: Mapping[str, Any]) -> datetime | None:
    """When the key before ends; None where there is none, or its end is not known yet."""
    text = keys.get("previous", {}).get("validUntil")
    return instant(text) if text else None


def _overlap(rotation: Rotation) -> timedelta:
    return timedelta(seconds=seconds(rotation.overlap))


def _ready(api_key: Json) -> Json:
    found = (api_key.get("status") or {}).get("conditions", [])
    return next((dict(each) for each in found if each["type"] == ConditionType.READY), {})
