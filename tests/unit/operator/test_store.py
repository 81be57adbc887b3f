"""What the watches have delivered."""

from typing import Any

import pytest

from llmservice_api.names import LABEL_SERVICE
from llmservice_operator.store import Ref, Store, ref_of

Json = dict[str, Any]


def thing(name: str = "x", version: int = 1, uid: str = "u1", service: str | None = "m") -> Json:
    """A Service object of a version."""
    found = {LABEL_SERVICE: service} if service else {}
    metadata = {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": str(version), "labels": found}
    return {"metadata": metadata}


def version(store: Store, name: str = "x") -> str | None:
    """The version known of a Service object."""
    found = store.get(Ref("services", "ns", name))
    return found["metadata"]["resourceVersion"] if found else None


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        (thing(version=5), thing(version=6), "6"),
        (thing(version=6), thing(version=5), "6"),
        (thing(version=9), thing(version=10), "10"),
        (thing(version=5), thing(version=5), "5"),
        (thing(version=6, uid="old"), thing(version=7, uid="new"), "7"),
    ],
    ids=["newer", "older is late", "numbers, not texts", "same", "recreated"],
)
def test_the_newest_is_kept(first: Json, then: Json, kept: str) -> None:
    store = Store()
    store.put("services", first)
    store.put("services", then)
    assert version(store) == kept


def replaced(store: Store, listed: list[Json], before: dict[Ref, int]) -> dict[Ref, Json]:
    """What a whole list changes."""
    refs = {ref_of("services", obj) for obj in listed}
    return store.take("services", listed) | store.drop_unlisted("services", before, refs)


def test_a_list_finds_what_a_watch_lost() -> None:
    store = Store()
    for obj in (thing("gone"), thing("same"), thing("changed")):
        store.put("services", obj)
    store.put("pods", thing("other-kind"))
    listed = [thing("same"), thing("changed", 2), thing("new")]
    changed = replaced(store, listed, store.versions("services"))
    assert changed.keys() == {Ref("services", "ns", name) for name in ("gone", "changed", "new")}
    assert changed[Ref("services", "ns", "gone")] == thing("gone"), "as it was, so that its service is known"
    assert version(store, "gone") is None
    assert store.get(Ref("pods", "ns", "other-kind")) is not None
    assert replaced(store, listed, store.versions("services")) == {}


def test_a_list_spares_what_came_while_the_list_was_under_way() -> None:
    store = Store()
    for obj in (thing("gone"), thing("written")):
        store.put("services", obj)
    before = store.versions("services")
    store.put("services", thing("written", 7))
    store.put("services", thing("made", 8))
    assert list(replaced(store, [], before)) == [Ref("services", "ns", "gone")]
    assert version(store, "written") == "7"
    assert version(store, "made") == "8"


def test_what_was_deleted_while_an_answer_was_under_way_stays_deleted() -> None:
    store = Store()
    store.put("services", thing(version=1))
    before = store.versions("services")
    store.deleted("services", thing(version=5))
    assert replaced(store, [thing(version=1)], before) == {}
    store.put("services", thing(version=4))
    assert version(store) is None
    store.versions("services")
    store.put("services", thing(version=4))
    assert version(store) is None, "an answer from before the next list"
    replaced(store, [], store.versions("services"))
    assert store._deleted["services"] == ({}, {}), "and nothing is remembered for ever"


@pytest.mark.parametrize(
    "later", [thing(version=6), thing(version=3, uid="new")], ids=["its label came back", "another of its name"]
)
def test_what_is_there_again_is_known_again(later: Json) -> None:
    store = Store()
    store.deleted("services", thing(version=5))
    store.put("services", later)
    assert version(store) == later["metadata"]["resourceVersion"]


def test_children_are_found_by_their_label_in_their_namespace() -> None:
    store = Store()
    for plural, name, service in (("services", "b", "m"), ("pods", "a", "m"), ("pods", "c", "other")):
        store.put(plural, thing(name, service=service))
    assert [ref for ref, _ in store.children("ns", "m")] == [Ref("pods", "ns", "a"), Ref("services", "ns", "b")]
    assert store.children("elsewhere", "m") == []
    store.remove(Ref("pods", "ns", "a"))
    assert [ref.name for ref, _ in store.children("ns", "m")] == ["b"]


@pytest.mark.parametrize("label", ["other", None])
def test_a_child_whose_label_was_edited_is_the_other_services(label: str | None) -> None:
    store = Store()
    store.put("services", thing(version=1))
    store.put("services", thing(version=2, service=label))
    assert store.children("ns", "m") == []
    store.remove(Ref("services", "ns", "x"))
    assert store.children("ns", "m") == store.children("ns", "other") == []


def test_removing_what_is_not_known_is_no_error() -> None:
    Store().remove(Ref("services", "ns", "x"))


def test_managed_fields_are_not_kept() -> None:
    store = Store()
    obj = thing()
    obj["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    store.put("services", obj)
    assert "managedFields" not in (store.get(Ref("services", "ns", "x")) or {})["metadata"]
    assert "managedFields" in obj["metadata"]


def test_cluster_scoped_objects_have_no_namespace() -> None:
    store = Store()
    assert store.put("nodes", {"metadata": {"name": "n", "uid": "u"}}) == Ref("nodes", "", "n")
    assert [node["metadata"]["name"] for node in store.of_kind("nodes")] == ["n"]


def test_a_kind_is_listed_whole_or_of_one_namespace() -> None:
    store = Store()
    for name, namespace in (("a", "ns"), ("b", "ns"), ("c", "other")):
        obj = thing(name)
        obj["metadata"]["namespace"] = namespace
        store.put("services", obj)
    assert sorted(obj["metadata"]["name"] for obj in store.of_kind("services")) == ["a", "b", "c"]
    assert sorted(obj["metadata"]["name"] for obj in store.of_kind("services", "ns")) == ["a", "b"]
    assert list(store.of_kind("services", "none")) == list(store.of_kind("pods")) == []


def test_nothing_is_remembered_of_a_service_whose_children_are_all_gone() -> None:
    store = Store()
    store.remove(store.put("services", thing()))
    assert store._children == {}
