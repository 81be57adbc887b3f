"""What the watches have delivered: the newest known object of each kind, by namespace and name.

Deletions that a watch missed (a 410 relists only what exists) are found by `drop_unlisted`, at the periodic relist.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from llmservice_api.names import LABEL_NAMESPACE, LABEL_SERVICE, LLMSERVICES
from llmservice_operator.model_names import ModelNames
from llmservice_operator.packed import Packed
from llmservice_operator.shares import Owner, Shares

Json = dict[str, Any]


class Ref(NamedTuple):
    """Which object: the kind's plural, namespace ("" where cluster-scoped) and name."""

    plural: str
    namespace: str
    name: str


class _Known(NamedTuple):
    """What is known of an object without unpacking it; `whole` where it is cluster-scoped: all reconciles read it."""

    uid: str
    version: int
    owner: Owner
    whole: Json | None


_HOLD_SHARES: Final = (LLMSERVICES, "rayservices", "rayclusters")


@dataclass
class Store:
    """Objects by kind, namespace and name, and children by the LLMService that they are labelled with.

    By kind, since each reconcile reads all pools and nodes: among ten thousand services that must not cost more. What
    is got must not be changed.
    """

    shares: Shares = field(default_factory=Shares)
    model_names: ModelNames = field(default_factory=ModelNames)
    _known: dict[str, dict[str, dict[str, _Known]]] = field(default_factory=dict)
    _packed: Packed[Ref] = field(default_factory=Packed)
    _children: dict[Owner, set[Ref]] = field(default_factory=dict)
    _deleted: dict[str, tuple[dict[str, int], dict[str, int]]] = field(default_factory=dict)

    def get(self, ref: Ref) -> Json | None:
        """The newest known object, or None."""
        known = self._of(ref)
        if known is None:
            return None
        return known.whole if known.whole is not None else self._packed.get(ref)

    def put(self, plural: str, obj: Json) -> Ref:
        """Remember an object unless this one or a newer one of its uid is known, or it is deleted since."""
        ref = ref_of(plural, obj)
        if not self._is_wanted(ref, obj):
            return ref
        known = self._of(ref)
        if known is not None:
            self._forget(ref, known)
        kept, owner = _trimmed(obj), _owner(ref, obj)
        found = _Known(_uid(obj), _version(obj), owner, None if ref.namespace else kept)
        self._known.setdefault(ref.plural, {}).setdefault(ref.namespace, {})[ref.name] = found
        if ref.namespace:
            self._packed.put(ref, kept)
        self._children.setdefault(owner, set()).add(ref)
        if plural == LLMSERVICES:
            self.model_names.add(obj)
        if known is not None and known.owner != owner:
            self._note_shares(ref, known.owner)
        self._note_shares(ref, owner)
        return ref

    def remove(self, ref: Ref) -> None:
        """Forget an object."""
        known = self._of(ref)
        if known is not None:
            self._forget(ref, known)
            self._note_shares(ref, known.owner)

    def _forget(self, ref: Ref, known: _Known) -> None:
        obj = self.get(ref) if ref.plural == LLMSERVICES else None
        if obj is not None:
            self.model_names.discard(obj)
        del self._known[ref.plural][ref.namespace][ref.name]
        if ref.namespace:
            self._packed.drop(ref)
        siblings = self._children[known.owner]
        siblings.discard(ref)
        if not siblings:
            del self._children[known.owner]

    def deleted(self, plural: str, obj: Json) -> Ref:
        """Forget an object that was deleted, unless another one has its name meanwhile.

        What a list or a write of ours that is still under way brings of it later is of before.
        """
        ref = ref_of(plural, obj)
        known = self._of(ref)
        if known is not None and known.uid == _uid(obj):
            self.remove(ref)
        self._deleted.setdefault(plural, ({}, {}))[0][_uid(obj)] = _version(obj)
        return ref

    def versions(self, plural: str) -> dict[Ref, int]:
        """What is known of a kind, and in which version."""
        return {
            Ref(plural, namespace, name): known.version
            for namespace, named in self._known.get(plural, {}).items()
            for name, known in named.items()
        }

    def take(self, plural: str, listed: Iterable[Json]) -> dict[Ref, Json]:
        """Put what was listed, a part of a kind or all. Returns those that are new or newer."""
        found = {ref_of(plural, obj): obj for obj in listed}
        changed = {ref: obj for ref, obj in found.items() if self._is_wanted(ref, obj)}
        for obj in changed.values():
            self.put(plural, obj)
        return changed

    def drop_unlisted(self, plural: str, before: Mapping[Ref, int], listed: Collection[Ref]) -> dict[Ref, Json]:
        """Take a whole list for the truth, but for what a watch or a write of ours brought while it was under way.

        `before`: versions as they were before it was asked for. Returns those that are gone, as they were. What was
        deleted is remembered until the next full list but one: no answer is under way for longer.
        """
        now = self.versions(plural)
        gone = [ref for ref, version in before.items() if ref not in listed and now.get(ref) == version]
        found = {ref: known for ref in gone if (known := self.get(ref)) is not None}
        for ref in gone:
            self.remove(ref)
        self._deleted[plural] = ({}, self._deleted.get(plural, ({}, {}))[0])
        return found

    def of_kind(self, plural: str, namespace: str | None = None) -> Iterator[Json]:
        """All known objects of a kind, or of a kind in one namespace; none may be put or removed meanwhile."""
        by_namespace = self._known.get(plural, {})
        wanted = by_namespace if namespace is None else {namespace: by_namespace.get(namespace, {})}
        for space, named in wanted.items():
            for name, known in named.items():
                yield known.whole if known.whole is not None else self._packed.glance(Ref(plural, space, name))

    def children(self, namespace: str, service: str) -> list[tuple[Ref, Json]]:
        """Objects of all kinds that bear the label of an LLMService, ordered by reference."""
        refs = sorted(self._children.get((namespace, service), ()))
        return [(ref, obj) for ref in refs if (obj := self.get(ref)) is not None]

    def _of(self, ref: Ref) -> _Known | None:
        return self._known.get(ref.plural, {}).get(ref.namespace, {}).get(ref.name)

    def _is_wanted(self, ref: Ref, obj: Json) -> bool:
        known = self._of(ref)
        return not self._is_deleted(ref.plural, obj) and (known is None or _is_news(known, obj))

    def _is_deleted(self, plural: str, obj: Json) -> bool:
        """Whether it was deleted at this version or later; one whose label was taken away and given back was not."""
        uid, version = _uid(obj), _version(obj)
        return any(version <= deleted.get(uid, -1) for deleted in self._deleted.get(plural, ()))

    def _note_shares(self, ref: Ref, owner: Owner) -> None:
        if ref.plural not in _HOLD_SHARES:
            return
        if ref.plural == LLMSERVICES:
            owner = (ref.namespace, ref.name)
        parts: dict[str, list[Json]] = {"rayservices": [], "rayclusters": []}
        for child in self._children.get(owner, ()):
            if child.plural in parts and (known := self.get(child)) is not None:
                parts[child.plural].append(known)
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


def _uid(obj: Json) -> str:
    return str(obj["metadata"].get("uid", ""))


def _is_news(known: _Known, obj: Json) -> bool:
    """Whether it is another object of that name, or a newer one."""
    return known.uid != _uid(obj) or known.version < _version(obj)


def _trimmed(obj: Json) -> Json:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}
