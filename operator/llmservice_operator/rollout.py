"""Which revision answers, which one comes up and which ones go: pure.

none ──create──► pending ──answers──► active ──edit──► active + pending ──answers──► active (new) + draining (old)
                                                             │                                     │ drain over
                                                             └─ edit again: pending is dropped      ▼ deleted
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal


@dataclass(frozen=True)
class Revisions:
    """What is there: the revision that the spec asks for, those that exist, and what status remembers.

    `edited`: the spec has changed since status was written.
    """

    wanted: str
    existing: Collection[str]
    active: str | None
    pending: str | None
    pending_since: datetime | None
    draining_since: datetime | None
    edited: bool = False


@dataclass(frozen=True)
class Rollout:
    """What is to be: revisions to create or keep as wanted, to delete, and what status will say.

    `overdue`: the pending revision did not come up in time. Beside one that serves it is given up until the next edit.
    """

    active: str | None
    pending: str | None
    create: bool
    delete: tuple[str, ...]
    pending_since: datetime | None
    draining_since: datetime | None
    overdue: bool
    check_again: timedelta | None


def step(
    revisions: Revisions,
    *,
    wanted_answers: bool,
    routed: bool,
    strategy: Literal["BlueGreen", "Recreate"],
    deadline: timedelta,
    drain: timedelta,
    now: datetime,
) -> Rollout:
    """The next step.

    `wanted_answers`: the wanted revision gave a real token, now or before. `routed`: a token came through the gateway
    from the revision that is active; what served before it goes only then, and not before `drain` is over.
    """
    active = revisions.active if revisions.active in revisions.existing else None
    moved = wanted_answers and active != revisions.wanted
    if moved:
        active = revisions.wanted
    if active == revisions.wanted:
        return _settle(revisions, active, now if moved else revisions.draining_since, drain, now, routed and not moved)
    since = _pending_since(revisions, deadline, now)
    overdue = now - since >= deadline
    keep = {active} if active and strategy == "BlueGreen" else set()
    given_up = overdue and bool(keep)
    draining_since, others = revisions.draining_since, set(revisions.existing) - keep - {revisions.wanted}
    # Without `drainingSince` none of the others has served.
    drained = draining_since is None or (routed and now - draining_since >= drain)
    gone = others if drained or strategy == "Recreate" else set()
    old_is_there = strategy == "Recreate" and bool(gone)
    return Rollout(
        active=active if active in keep else None,
        pending=revisions.wanted,
        create=not (old_is_there or given_up),
        delete=tuple(sorted(gone | ({revisions.wanted} & set(revisions.existing) if given_up else set()))),
        pending_since=since,
        draining_since=draining_since if others - gone else None,
        overdue=overdue,
        check_again=_soonest(since + deadline - now, draining_since + drain - now if draining_since else timedelta()),
    )


def hold(revisions: Revisions, *, routed: bool, drain: timedelta, now: datetime) -> Rollout:
    """While no pool takes what is wanted: what serves goes on, what drains ends, and nothing else has a place."""
    if revisions.active not in revisions.existing or revisions.active is None:
        return Rollout(None, None, False, tuple(sorted(revisions.existing)), None, None, False, None)
    return replace(_settle(revisions, revisions.active, revisions.draining_since, drain, now, routed), create=False)


def _pending_since(revisions: Revisions, deadline: timedelta, now: datetime) -> datetime:
    """When the wanted revision began: anew with an edit that gives one that was given up another try."""
    since = revisions.pending_since if revisions.pending == revisions.wanted else None
    return now if since is None or (revisions.edited and now - since >= deadline) else since


def _settle(
    revisions: Revisions, active: str, draining_since: datetime | None, drain: timedelta, now: datetime, routed: bool
) -> Rollout:
    # What came up beside the active one has streams only if it served before, and then the drain of that is not over.
    never_served = {revisions.pending} if draining_since is None else set()
    dropped = set(revisions.existing) & never_served - {active}
    others = set(revisions.existing) - {active} - dropped
    since = (draining_since or now) if others else None
    left = since + drain - now if since else None
    drained = routed and left is not None and left <= timedelta()
    return Rollout(
        active=active,
        pending=None,
        create=True,
        delete=tuple(sorted(dropped | others if drained else dropped)),
        pending_since=None,
        draining_since=since,
        overdue=False,
        check_again=_soonest(left) if left is not None and not drained else None,
    )


def _soonest(*waits: timedelta) -> timedelta | None:
    """The shortest wait that is still ahead."""
    return min((wait for wait in waits if wait > timedelta()), default=None)
