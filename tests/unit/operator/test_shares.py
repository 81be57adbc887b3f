"""What services have of pools, by what their statuses say, however often that changes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmservice_operator.shares import Shares, age
from llmservice_operator.store import Store

Json = dict[str, Any]

POOLS = ("big", "small")


def a_service(name: str, pool: str | None, *, each: int = 2, replicas: int = 1, active: bool = True) -> Json:
    """One that has `replicas` replicas of `each` accelerators; the name tells the age."""
    placement = {"pool": pool, "accelerators": each} if pool else {}
    revision = {"active": "r"} if active else {"pending": "r"}
    status = {"placement": placement, "desiredReplicas": replicas, "revision": revision}
    metadata = {"name": name, "namespace": "team-a", "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "status": status}


def added_up(services: list[Json], service: Json) -> dict[str, int]:
    """The same by looking at all of them."""
    found = dict.fromkeys(POOLS, 0)
    for other in services:
        status = other["status"]
        pool, is_other = status["placement"].get("pool"), other["metadata"]["uid"] != service["metadata"]["uid"]
        if pool and is_other and ("active" in status["revision"] or age(other) < age(service)):
            found[pool] += status["placement"]["accelerators"] * status["desiredReplicas"]
    return {pool: count for pool, count in found.items() if count}


SERVICES = st.builds(
    a_service,
    st.sampled_from("abcde"),
    st.sampled_from((*POOLS, None)),
    each=st.integers(0, 8),
    replicas=st.integers(0, 3),
    active=st.booleans(),
)


@given(st.lists(st.tuples(SERVICES, st.booleans()), max_size=30), st.sampled_from("abcde"))
def test_after_any_changes_it_is_what_all_of_them_have(changes: list[tuple[Json, bool]], name: str) -> None:
    store, there = Store(), {}
    for service, stays in changes:
        ref = store.put("llmservices", service)
        there[ref] = service
        if not stays:
            store.remove(ref)
            del there[ref]
    asking = next((each for each in there.values() if each["metadata"]["name"] == name), a_service(name, None))
    assert store.shares.beside(asking, POOLS) == added_up(list(there.values()), asking)


def test_only_what_is_asked_for_is_told() -> None:
    shares = Shares()
    shares.add(a_service("a", "big"))
    assert shares.beside(a_service("b", None), ["small"]) == {}
