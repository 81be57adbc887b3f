"""What the watches have delivered: the newest known object of each kind, by namespace and name.

Deletions that a watch missed (a 410 relists only what exists) are found by `replace`, the periodic relist.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llmservice_api.names import LABEL_SERVICE

Json = dict[str, Any]


class Ref(NamedTuple):
    """Which object: the kind's plural, namespace ("" where cluster-scoped) and name."""

    plural: str
    namespace: str
    name: str


@dataclass
class Store:
    """Objects by reference, and children by the LLMService that they are labelled with."""

    _objects: dict[Ref, Json] = field(default_factory=dict)
    _children: dict[tuple[str, str], set[Ref]] = field(default_factory=dict)

    def get(self, ref: Ref) -> Json | None:
        """The newest known object, or None."""
        return self._objects.get(ref)

    def put(self, plural: str, obj: Json) -> Ref:
        """Remember an object unless a newer one of the same uid is known."""
        ref = ref_of(plural, obj)
        known = self._objects.get(ref)
        if known is None or not _newer(known, obj):
            self.remove(ref)  # its label may have been another's
            self._objects[ref] = _trimmed(obj)
            self._children_of(ref, obj).add(ref)
        return ref

    def remove(self, ref: Ref) -> None:
        """Forget a deleted object."""
        obj = self._objects.pop(ref, None)
        if obj is not None:
            self._children_of(ref, obj).discard(ref)

    def versions(self, plural: str) -> dict[Ref, int]:
        """What is known of a kind, for `replace`: taken before the list is asked for."""
        return {ref: _version(obj) for ref, obj in self._objects.items() if ref.plural == plural}

    def replace(self, plural: str, objects: list[Json], before: dict[Ref, int]) -> set[Ref]:
        """Take a full list for the truth, but for what a watch or a write of ours brought while it was under way.

        Returns the references that it changed (gone, new or newer).
        """
        listed = {ref_of(plural, obj): obj for obj in objects}
        now = self.versions(plural)
        gone = {ref for ref, version in before.items() if ref not in listed and now.get(ref) == version}
        for ref in gone:
            self.remove(ref)
        changed = {ref for ref, obj in listed.items() if not _same(self._objects.get(ref), obj)}
        for obj in objects:
            self.put(plural, obj)
        return gone | changed

    def of_kind(self, plural: str) -> Iterator[Json]:
        """All known objects of a kind."""
        return (obj for ref, obj in self._objects.items() if ref.plural == plural)

    def children(self, namespace: str, service: str) -> list[tuple[Ref, Json]]:
        """Objects of all kinds that bear the label of an LLMService, ordered by reference."""
        refs = sorted(self._children.get((namespace, service), ()))
        return [(ref, self._objects[ref]) for ref in refs]

    def _children_of(self, ref: Ref, obj: Json) -> set[Ref]:
        service = obj["metadata"].get("labels", {}).get(LABEL_SERVICE, "")
        return self._children.setdefault((ref.namespace, service), set())


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
