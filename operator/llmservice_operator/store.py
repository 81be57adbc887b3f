"""What the watches have delivered: the newest known object of each kind, by namespace and name.

Deletions that a watch missed (a 410 relists only what exists) are found by `replace`, the periodic relist.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from llmservice_api.names import LABEL_NAMESPACE, LABEL_SERVICE, LLMSERVICES
from llmservice_operator.model_names import ModelNames
from llmservice_operator.shares import Owner, Shares

Json = dict[str, Any]


class Ref(NamedTuple):
    """Which object: the kind's plural, namespace ("" where cluster-scoped) and name."""

    plural: str
    namespace: str
    name: str


_HOLD_SHARES: Final = (LLMSERVICES, "rayservices", "rayclusters")


@dataclass
class Store:
    """Objects by kind, namespace and name, and children by the LLMService that they are labelled with.

    By kind, since each reconcile reads all pools and nodes: among ten thousand services that must not cost more.
    """

    shares: Shares = field(default_factory=Shares)
    model_names: ModelNames = field(default_factory=ModelNames)
    _objects: dict[str, dict[str, dict[str, Json]]] = field(default_factory=dict)
    _children: dict[Owner, set[Ref]] = field(default_factory=dict)
    _deleted: dict[str, tuple[dict[str, int], dict[str, int]]] = field(default_factory=dict)

    def get(self, ref: Ref) -> Json | None:
        """The newest known object, or None."""
        return self._objects.get(ref.plural, {}).get(ref.namespace, {}).get(ref.name)

    def put(self, plural: str, obj: Json) -> Ref:
        """Remember an object unless a newer one of the same uid is known, or it is known to be deleted since."""
        ref = ref_of(plural, obj)
        known = self.get(ref)
        if not self._is_deleted(plural, obj) and (known is None or not _newer(known, obj)):
            self.remove(ref)  # its label may have been another's
            self._objects.setdefault(ref.plural, {}).setdefault(ref.namespace, {})[ref.name] = _trimmed(obj)
            self._children.setdefault(_owner(ref, obj), set()).add(ref)
            if plural == LLMSERVICES:
                self.model_names.add(obj)
            self._note_shares(ref, obj)
        return ref

    def remove(self, ref: Ref) -> None:
        """Forget an object."""
        obj = self._objects.get(ref.plural, {}).get(ref.namespace, {}).pop(ref.name, None)
        if obj is not None:
            siblings = self._children[_owner(ref, obj)]
            siblings.discard(ref)
            if not siblings:
                del self._children[_owner(ref, obj)]
            if ref.plural == LLMSERVICES:
                self.model_names.discard(obj)
            self._note_shares(ref, obj)

    def deleted(self, plural: str, obj: Json) -> Ref:
        """Forget an object that was deleted, unless another one has its name meanwhile.

        What a list or a write of ours that is still under way brings of it later is of before.
        """
        ref = ref_of(plural, obj)
        known = self.get(ref)
        if known is not None and known["metadata"].get("uid") == obj["metadata"].get("uid"):
            self.remove(ref)
        self._deleted.setdefault(plural, ({}, {}))[0][obj["metadata"].get("uid", "")] = _version(obj)
        return ref

    def versions(self, plural: str) -> dict[Ref, int]:
        """What is known of a kind, for `replace`: taken before the list is asked for."""
        return {ref_of(plural, obj): _version(obj) for obj in self.of_kind(plural)}

    def replace(self, plural: str, objects: list[Json], before: dict[Ref, int]) -> dict[Ref, Json]:
        """Take a full list for the truth, but for what a watch or a write of ours brought while it was under way.

        Returns what it changed: objects that are new or newer, and those that are gone as they were. What was deleted
        is remembered until the next full list but one: no answer is under way for longer.
        """
        listed = {ref_of(plural, obj): obj for obj in objects if not self._is_deleted(plural, obj)}
        now = self.versions(plural)
        gone = [ref for ref, version in before.items() if ref not in listed and now.get(ref) == version]
        changed = {ref: known for ref in gone if (known := self.get(ref)) is not None}
        changed |= {ref: obj for ref, obj in listed.items() if not _same(self.get(ref), obj)}
        for ref in gone:
            self.remove(ref)
        for obj in listed.values():
            self.put(plural, obj)
        self._deleted[plural] = ({}, self._deleted.get(plural, ({}, {}))[0])
        return changed

    def of_kind(self, plural: str, namespace: str | None = None) -> Iterator[Json]:
        """All known objects of a kind, or of a kind in one namespace."""
        by_namespace = self._objects.get(plural, {})
        wanted = by_namespace.values() if namespace is None else [by_namespace.get(namespace, {})]
        return (obj for named in wanted for obj in named.values())

    def children(self, namespace: str, service: str) -> list[tuple[Ref, Json]]:
        """Objects of all kinds that bear the label of an LLMService, ordered by reference."""
        refs = sorted(self._children.get((namespace, service), ()))
        return [(ref, self._objects[ref.plural][ref.namespace][ref.name]) for ref in refs]

    def _is_deleted(self, plural: str, obj: Json) -> bool:
        """Whether it was deleted at this version or later; one whose label was taken away and given back was not."""
        uid, version = obj["metadata"].get("uid"), _version(obj)
        return any(version <= deleted.get(uid, -1) for deleted in self._deleted.get(plural, ()))

    def _note_shares(self, ref: Ref, obj: Json) -> None:
        if ref.plural not in _HOLD_SHARES:
            return
        owner = (ref.namespace, ref.name) if ref.plural == LLMSERVICES else _owner(ref, obj)
        parts: dict[str, list[Json]] = {"rayservices": [], "rayclusters": []}
        for child in self._children.get(owner, ()):
            if child.plural in parts:
                parts[child.plural].append(self._objects[child.plural][child.namespace][child.name])
        self.shares.note(owner, self.get(Ref(LLMSERVICES, *owner)), parts["rayservices"], parts["rayclusters"])


def _owner(ref: Ref, obj: Json) -> Owner:
    """Namespace and name of the LLMService that an object is labelled with; the name is empty where it is not.

    Only Ingresses are in another namespace than theirs.
    """
    labels = obj["metadata"].get("labels", {})
    namespace = labels.get(LABEL_NAMESPACE, ref.namespace) if ref.plural == "ingresses" else ref.namespace
    return namespace, labels.get(LABEL_SERVICE, "")


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
