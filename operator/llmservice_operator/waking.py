"""Whether a service that may sleep is kept awake: the gateway says in status that a request waits for it. Pure."""

from datetime import datetime, timedelta
from typing import Final

from llmservice_api.base import seconds
from llmservice_api.scaling import Scaling
from llmservice_operator.observed import Observed, instant
from llmservice_operator.resources.worker_args import bounds

REQUESTED: Final = "wakeRequestedAt"
"""The one field of status that is not the operator's."""


def last_wake(observed: Observed) -> datetime | None:
    """When a request last waited for it, by the gateway's word."""
    text = observed.status.get(REQUESTED)
    return instant(text) if text else None


def wake_left(observed: Observed) -> timedelta | None:
    """How long its last wake still stands, spec.scaling.idleAfter in all; None where it needs none or has none.

    While it stands the service keeps one replica, whoever asks for it; afterwards its own demand decides.
    """
    woken = last_wake(observed)
    if woken is None or bounds(observed.spec)[0] > 0:
        return None
    idle = timedelta(seconds=seconds((observed.spec.scaling or Scaling()).idle_after))
    left = woken + idle - observed.now
    return left if left > timedelta() else None


def is_awake(observed: Observed, revision: str | None) -> bool:
    """Whether a revision keeps one replica, whoever asks for it: a wake stands, or it has given no token yet.

    Without demand Ray Serve would take away after idleAfter what was never seen to answer, and start it again.
    """
    return wake_left(observed) is not None or (revision is not None and not observed.is_verified(revision))
