"""What revisions have of pools, by what their RayServices and RayClusters say, however often that changes."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_operator.observed import is_owned
from llmservice_operator.shares import Share, share_of
from llmservice_operator.store import Ref, Store
from tests.unit.operator.builders import AService, a_claim, a_cluster

Json = dict[str, Any]

POOLS = ("big", "small")


def annotated(accelerators: str) -> Json:
    """A RayService with whatever somebody wrote."""
    return {"metadata": {"annotations": {"llmservice.io/pool": "p", "llmservice.io/accelerators": accelerators}}}


@pytest.mark.parametrize(
    ("obj", "clusters", "share"),
    [
        (a_claim("m-1", "big", each=4, least=8), [], Share("big", 4, 8, 8)),
        (a_claim("m-1", "big", each=4, least=8), [a_cluster("m-1", 3)], Share("big", 4, 8, 12)),
        (a_claim("m-1", "big", each=4, least=8), [a_cluster("m-1", 1)], Share("big", 4, 8, 8)),
        (a_claim("m-1", "cpu", each=0, least=0), [a_cluster("m-1", 3)], Share("cpu", 0, 0, 0)),
        ({"metadata": {"name": "theirs"}}, [], None),
        (annotated("x"), [], Share("p", 0, 0, 0)),
        (annotated("9" * 5000), [], Share("p", 0, 0, 0)),
    ],
    ids=["as said", "scaled up", "coming up", "no accelerators", "not ours", "edited by hand", "absurd"],
)
def test_what_a_revision_has(obj: Json, clusters: list[Json], share: Share | None) -> None:
    assert share_of(obj, clusters) == share


@dataclass(frozen=True)
class Change:
    """Something becomes of an LLMService, or of one of its two revisions."""

    service: str
    revision: str
    pool: str
    least: int
    workers: int
    created: int
    active: str | None
    gone: tuple[str, ...]


CHANGES = st.builds(
    Change,
    service=st.sampled_from("abc"),
    revision=st.sampled_from("12"),
    pool=st.sampled_from(POOLS),
    least=st.integers(0, 4),
    workers=st.integers(0, 4),
    created=st.integers(0, 3),
    active=st.sampled_from(["1", "2", None]),
    gone=st.sets(st.sampled_from(["llmservices", "rayservices", "rayclusters"]), max_size=1).map(tuple),
)


def carry_out(store: Store, change: Change, number: int) -> None:
    """As the watches would bring it."""
    name = f"{change.service}-{change.revision}"
    status = {"active": f"{change.service}-{change.active}"} if change.active else {"pending": name}
    store.put("llmservices", AService(change.service).status(revision=status).metadata(resourceVersion=number).build())
    made = a_claim(name, change.pool, each=2, least=change.least, created=change.created)
    made["metadata"]["resourceVersion"] = str(number)
    store.put("rayservices", made)
    cluster = a_cluster(name, change.workers)
    cluster["metadata"]["resourceVersion"] = str(number)
    store.put("rayclusters", cluster)
    names = {"llmservices": change.service, "rayservices": name, "rayclusters": f"{name}-x"}
    for plural in change.gone:
        store.remove(Ref(plural, "team-a", names[plural]))


def added_up(store: Store, service: str) -> dict[str, tuple[int, ...]]:
    """The same by looking at all that there is."""
    claims = []
    for owner in store.of_kind("llmservices"):
        active = (owner["status"].get("revision") or {}).get("active")
        for obj in store.of_kind("rayservices"):
            name = obj["metadata"]["name"]
            clusters = [each for each in store.of_kind("rayclusters") if each["metadata"]["name"] == f"{name}-x"]
            share = share_of(obj, clusters)
            if share is not None and is_owned(obj, owner["metadata"]["uid"]):
                age = (obj["metadata"]["creationTimestamp"], name)
                claims.append((owner["metadata"]["name"], share, active == name, age))
    found = {}
    for pool in POOLS:
        here = [claim for claim in claims if claim[1].pool == pool and claim[1].wanted]
        mine = min((age for name, _, is_settled, age in here if name == service and not is_settled), default=("~", ""))
        others = [share for name, share, is_settled, age in here if name != service and (is_settled or age < mine)]
        found[pool] = (sum(share.fewest for share in others), sum(share.wanted for share in others))
    return {pool: counts for pool, counts in found.items() if any(counts)}


@given(st.lists(CHANGES, max_size=20), st.sampled_from("abcd"))
def test_after_any_changes_it_is_what_all_of_them_have(changes: list[Change], service: str) -> None:
    store = Store()
    for number, change in enumerate(changes):
        carry_out(store, change, number)
    assert store.shares.beside(("team-a", service), POOLS) == added_up(store, service)


ALONE = Change("a", "1", "big", 2, 0, created=1, active=None, gone=())


def test_of_two_that_come_up_at_once_the_one_made_first_stays() -> None:
    store = Store()
    carry_out(store, ALONE, 1)
    carry_out(store, replace(ALONE, service="b"), 2)
    beside = {name: store.shares.beside(("team-a", name), ["big", "small"]) for name in "abc"}
    assert beside == {"a": {}, "b": {"big": (2, 2)}, "c": {"big": (4, 4)}}


def test_what_drains_and_what_comes_up_beside_it_both_count() -> None:
    store = Store()
    carry_out(store, replace(ALONE, active="1"), 1)
    carry_out(store, replace(ALONE, revision="2", pool="small", active="1"), 2)
    assert store.shares.beside(("team-a", "b"), POOLS) == {"big": (2, 2), "small": (2, 2)}
    status = {"active": "a-2", "drainingSince": "2026-01-31T12:00:00Z"}
    store.put("llmservices", AService("a").status(revision=status).metadata(resourceVersion="3").build())
    assert store.shares.beside(("team-a", "b"), POOLS) == {"big": (2, 2), "small": (2, 2)}


def test_only_what_is_asked_for_is_told() -> None:
    store = Store()
    carry_out(store, ALONE, 1)
    assert store.shares.beside(("team-a", "b"), ["small"]) == {}
