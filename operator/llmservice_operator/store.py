"""What the watches have delivered: the newest known object of each kind, by namespace and name.

Deletions that a watch missed (a 410 relists only what exists) are found by `replace`, the periodic relist.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llmservice_api.names import LABEL_SERVICE, LLMSERVICES
from llmservice_operator.shares import Shares

Json = dict[str, Any]


class Ref(NamedTuple):
    """Which object: the kind's plural, namespace ("" where cluster-scoped) and name."""

    plural: str
    namespace: str
    name: str


@dataclass
class Store:
    """Objects by kind, namespace and name, and children by the LLMService that they are labelled with.

    By kind, since each reconcile reads all pools and nodes: among ten thousand services that must not cost more.
    """

    shares: Shares = field(default_factory=Shares)
    _objects: dict[str, dict[str, dict[str, Json]]] = field(default_factory=dict)
    _children: dict[tuple[str, str], set[Ref]] = field(default_factory=dict)

    def get(self, ref: Ref) -> Json | None:
        """The newest known object, or None."""
        return self._objects.get(ref.plural, {}).get(ref.namespace, {}).get(ref.name)

    def put(self, plural: str, obj: Json) -> Ref:
        """Remember an object unless a newer one of the same uid is known."""
        ref = ref_of(plural, obj)
        known = self.get(ref)
        if known is None or not _newer(known, obj):
            self.remove(ref)  # its label may have been another's
            self._objects.setdefault(ref.plural, {}).setdefault(ref.namespace, {})[ref.name] = _trimmed(obj)
            self._children.setdefault(_owner(ref, obj), set()).add(ref)
            if plural == LLMSERVICES:
                self.shares.add(obj)
        return ref

    def remove(self, ref: Ref) -> None:
        """Forget a deleted object."""
        obj = self._objects.get(ref.plural, {}).get(ref.namespace, {}).pop(ref.name, None)
        if obj is not None:
            siblings = self._children[_owner(ref, obj)]
            siblings.discard(ref)
            if not siblings:
                del self._children[_owner(ref, obj)]
            if ref.plural == LLMSERVICES:
                self.shares.discard(obj)

    def versions(self, plural: str) -> dict[Ref, int]:
        """What is known of a kind, for `replace`: taken before the list is asked for."""
        return {ref_of(plural, obj): _version(obj) for obj in self.of_kind(plural)}

    def replace(self, plural: str, objects: list[Json], before: dict[Ref, int]) -> set[Ref]:
        """Take a full list for the truth, but for what a watch or a write of ours brought while it was under way.

        Returns the references that it changed (gone, new or newer).
        """
        listed = {ref_of(plural, obj): obj for obj in objects}
        now = self.versions(plural)
        gone = {ref for ref, version in before.items() if ref not in listed and now.get(ref) == version}
        for ref in gone:
            self.remove(ref)
        changed = {ref for ref, obj in listed.items() if not _same(self.get(ref), obj)}
        for obj in objects:
            self.put(plural, obj)
        return gone | changed

    def of_kind(self, plural: str, namespace: str | None = None) -> Iterator[Json]:
        """All known objects of a kind, or of a kind in one namespace."""
        by_namespace = self._objects.get(plural, {})
        wanted = by_namespace.values() if namespace is None else [by_namespace.get(namespace, {})]
        return (obj for named in wanted for obj in named.values())

    def children(self, namespace: str, service: str) -> list[tuple[Ref, Json]]:
        """Objects of all kinds that bear the label of an LLMService, ordered by reference."""
        refs = sorted(self._children.get((namespace, service), ()))
        return [(ref, self._objects[ref.plural][ref.namespace][ref.name]) for ref in refs]


def _owner(ref: Ref, obj: Json) -> tuple[str, str]:
    """Namespace and name of the LLMService that an object is labelled with; the name is empty where it is not."""
    return ref.namespace, obj["metadata"].get("labels", {}).get(LABEL_SERVICE, "")


def ref_of(plural: str, obj: Json) -> Ref:
    """The reference of an object."""
    return Ref(plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def _version(obj: Json) -> int:
    return int(obj["metadata"].get("resourceVersion", "0"))


def _newer(known: Json, obj: Json) -> bool:
    same = known["metadata"].get("uid") == obj["metadata"].get("uid")
    return bool(same and _version(known) > _version(obj))


def _same(known: Json | None, obj: Json) -> bool:
    return known is not None and known["metadata"].get("resourceVersion") == obj["metadata"].get("resourceVersion")


def _trimmed(obj: Json) -> Json:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}
