"""An API server in memory: as much of server-side apply as the operator relies on, and a record of every write."""

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from llmservice_api.names import FIELD_MANAGER
from llmservice_operator.cluster import ApiError, Cluster
from llmservice_operator.store import Ref, ref_of
from llmservice_operator.waking import GATEWAYS

Json = dict[str, Any]

ADDRESS: Final = "10.96.0.9"
"""What each Service gets."""


@dataclass(frozen=True)
class Write:
    """One request that was taken."""

    verb: str
    plural: str
    name: str
    force: bool = False


@dataclass
class MemoryCluster(Cluster):
    """Objects by reference. An object that the test puts in with `foreign` conflicts with an unforced apply."""

    objects: dict[Ref, Json] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    refusals: dict[tuple[str, str], ApiError | Exception] = field(default_factory=dict)
    strangers: set[Ref] = field(default_factory=set)
    version: int = 100

    def put(self, plural: str, obj: Json, *, foreign: bool = False) -> Ref:
        """An object is there already."""
        ref = ref_of(plural, obj)
        self.objects[ref] = copy.deepcopy(obj)
        if foreign:
            self.strangers.add(ref)
        return ref

    async def pages(self, plural: str, label_selector: str = "", namespace: str = "") -> AsyncIterator[list[Json]]:
        """All of a kind, two at a time; a selector is the name of a label that must be there."""
        self._refuse("list", plural)
        found = [obj for ref, obj in sorted(self.objects.items()) if ref.plural == plural]
        found = [obj for obj in found if not label_selector or label_selector in obj["metadata"].get("labels", {})]
        found = copy.deepcopy([obj for obj in found if not namespace or obj["metadata"].get("namespace") == namespace])
        for begin in range(0, max(len(found), 1), 2):
            yield found[begin : begin + 2]

    async def get(self, plural: str, namespace: str, name: str) -> Json | None:
        """One object."""
        return copy.deepcopy(self.objects.get(Ref(plural, namespace, name)))

    async def metadata(self, plural: str, namespace: str, name: str) -> Json | None:
        """Of one object."""
        self._refuse("metadata", plural)
        obj = self.objects.get(Ref(plural, namespace, name))
        return {"metadata": copy.deepcopy(obj["metadata"])} if obj is not None else None

    async def apply(self, plural: str, obj: Json, *, force: bool, trial: bool = False) -> Json:
        """Merge into what is there; a conflict over a stranger's object unless forced."""
        self._refuse("apply", plural)
        await asyncio.sleep(0)
        ref = ref_of(plural, obj)
        if ref in self.strangers and not force:
            raise ApiError(409, "Conflict", f'conflict with "kubectl" in {ref.name}')
        if trial:
            return obj
        self.writes.append(Write("apply", plural, ref.name, force))
        wanted = obj["metadata"].get("resourceVersion")
        if wanted is not None and wanted != self.objects.get(ref, obj)["metadata"].get("resourceVersion", wanted):
            raise ApiError(409, "Conflict", f"{ref.name} has been modified")
        known = self.objects.get(ref, {"metadata": {"uid": f"uid-{plural}-{ref.name}"}})
        given = {"clusterIP": ADDRESS} if plural == "services" else {}
        merged = {**known, **obj, "metadata": known["metadata"] | obj["metadata"]}
        return self._store(ref, merged | {"spec": given | obj["spec"]} if "spec" in obj else merged)

    async def apply_status(self, plural: str, namespace: str, name: str, status: Json) -> Json:
        """The whole status anew, but for the fields that gateways own."""
        self._refuse("status", plural)
        ref = Ref(plural, namespace, name)
        if ref not in self.objects:
            raise ApiError(404, "NotFound", f"{plural} {name} not found")
        self.writes.append(Write("status", plural, name))
        before = self.objects[ref].get("status") or {}
        kept = {key: value for key, value in before.items() if key in GATEWAYS}
        return self._store(ref, self.objects[ref] | {"status": copy.deepcopy(status) | kept})

    async def delete(self, plural: str, namespace: str, name: str, uid: str) -> None:
        """Gone at once, where the uid is right."""
        ref = Ref(plural, namespace, name)
        if ref in self.objects and self.objects[ref]["metadata"]["uid"] == uid:
            del self.objects[ref]
            self.writes.append(Write("delete", plural, name))

    async def create_event(self, event: Json) -> None:
        """Kept."""
        self._refuse("create", "events")
        self.events.append(event)

    def _store(self, ref: Ref, obj: Mapping[str, Any]) -> Json:
        self.version += 1
        managers = {"managedFields": [{"manager": FIELD_MANAGER, "operation": "Apply"}]}
        metadata = obj["metadata"] | {"resourceVersion": str(self.version)} | managers
        self.objects[ref] = {**obj, "metadata": metadata}
        return copy.deepcopy(self.objects[ref])

    def _refuse(self, verb: str, plural: str) -> None:
        error = self.refusals.get((verb, plural))
        if error is not None:
            raise error
