"""How many replicas keep a service that may sleep awake: gateways say in status how many requests wait for it. Pure."""

import math
from datetime import datetime, timedelta
from typing import Final

from llmservice_api.base import seconds
from llmservice_api.scaling import Scaling
from llmservice_operator.observed import Observed, instant
from llmservice_operator.resources.worker_args import bounds

REQUESTED: Final = "wakeRequestedAt"
"""When a request last waited."""
WAKES: Final = "wakes"
"""By gateway, the requests that it held."""
GATEWAYS: Final = (REQUESTED, WAKES)
"""The fields of status that are not the operator's."""


def last_wake(observed: Observed) -> datetime | None:
    """When a request last waited for it, by the gateway's word."""
    text = observed.status.get(REQUESTED)
    return instant(text) if text else None


def wake_left(observed: Observed) -> timedelta | None:
    """How long its last wake still stands, spec.scaling.idleAfter in all; None where it needs none or has none.

    While it stands the service keeps what the wake brought, whoever asks for it; afterwards its own demand decides.
    """
    woken = last_wake(observed)
    if woken is None or bounds(observed.spec)[0] > 0:
        return None
    left = woken + _stands(observed) - observed.now
    return left if left > timedelta() else None


def least_awake(observed: Observed, revision: str | None) -> int:
    """Fewest replicas of a revision, whoever asks for them: what its wake needs, one until it has given a token, or 0.

    Without demand Ray Serve would take away after idleAfter what was never seen to answer, and start it again.
    """
    woken = last_wake(observed)
    if woken is not None and wake_left(observed) is not None:
        depth = (observed.spec.scaling or Scaling()).target_queue_depth
        return max(1, math.ceil(_held(observed, woken) / depth))
    return int(revision is not None and not observed.is_verified(revision))


def _held(observed: Observed, woken: datetime) -> int:
    """Requests that the gateways held in the wake whose last word is of `woken`.

    What is said in it stands to its end, since the same span is counted back from its last word as on from there.
    """
    begin = woken - _stands(observed)
    wakes = observed.status.get(WAKES, {}).values()
    return sum(each["requests"] for each in wakes if instant(each["requestedAt"]) > begin)


def _stands(observed: Observed) -> timedelta:
    return timedelta(seconds=seconds((observed.spec.scaling or Scaling()).idle_after))
