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
    active_answers: bool,
    routed: bool,
    strategy: Literal["BlueGreen", "Recreate"],
    deadline: timedelta,
    drain: timedelta,
    now: datetime,
) -> Rollout:
    """The next step.

    `wanted_answers`: the wanted revision gave a real token, now or before; `active_answers`: so did the active one,
    which has not failed since. `routed`: a token came through the gateway from the revision that is active; what served
    before it goes only then, and not before `drain` is over.
    """
    active = revisions.active if revisions.active in revisions.existing else None
    moved = wanted_answers and active != revisions.wanted
    if moved:
        active = revisions.wanted
    if active == revisions.wanted:
        return _settle(revisions, active, now if moved else revisions.draining_since, drain, now, routed and not moved)
    since = _pending_since(revisions, deadline, now)
    overdue = now - since >= deadline
    stays = {active} if active and strategy == "BlueGreen" else set()
    given_up = overdue and bool(stays) and (active_answers or revisions.wanted not in revisions.existing)
    draining_since, others = revisions.draining_since, set(revisions.existing) - stays - {revisions.wanted}
    # Without `drainingSince` none of the others has served.
    drained = draining_since is None or (routed and now - draining_since >= drain)
    gone = others if drained or strategy == "Recreate" else set()
    old_is_there = strategy == "Recreate" and bool(gone)
    return Rollout(
        active=active if active in stays else None,
        pending=revisions.wanted,
        create=not (old_is_there or given_up),
        delete=tuple(sorted(gone | ({revisions.wanted} & set(revisions.existing) if given_up else set()))),
        pending_since=since,
        draining_since=draining_since if others - gone else None,
        overdue=overdue,
        check_again=_soonest(since + deadline - now, draining_since + drain - now if draining_since else timedelta()),
    )


def keep(revisions: Revisions, *, deadline: timedelta, now: datetime) -> Rollout:
    """While nothing may be changed: all stays, and what was given up is still known to be."""
    since = revisions.pending_since
    is_gone = revisions.pending not in {None, revisions.active, *revisions.existing}
    given_up = is_gone and since is not None and now - since >= deadline
    return Rollout(
        active=revisions.active if revisions.active in revisions.existing else None,
        pending=revisions.pending if given_up else None,
        create=False,
        delete=(),
        pending_since=since if given_up else None,
        draining_since=revisions.draining_since,
        overdue=given_up,
        check_again=None,
    )


def hold(
    revisions: Revisions, *, up: Collection[str], routed: bool, deadline: timedelta, drain: timedelta, now: datetime
) -> Rollout:
    """While no pool has room for what is wanted: what serves goes on, what drains ends, and nothing else has a place.

    `up`: revisions whose engines are up. Where status was lost, and with it which one is active, these stay.
    """
    kept = keep(revisions, deadline=deadline, now=now)
    if kept.active is None:
        spared = set(up) if revisions.pending is None else set()
        return replace(kept, delete=tuple(sorted(set(revisions.existing) - spared)))
    settled = _settle(revisions, kept.active, revisions.draining_since, drain, now, routed)
    return replace(kept, delete=settled.delete, draining_since=settled.draining_since, check_again=settled.check_again)


def _pending_since(revisions: Revisions, deadline: timedelta, now: datetime) -> datetime:
    """When the wanted revision began: anew with an edit, where it is late or was given up."""
    since = revisions.pending_since if revisions.pending == revisions.wanted else None
    is_over = since is not None and (now - since >= deadline or revisions.wanted not in revisions.existing)
    return now if since is None or (revisions.edited and is_over) else since


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
