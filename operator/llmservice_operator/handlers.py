"""kopf's part: watches. An event is put into the store and adds the key of the LLMService or APIKey it bears on.

Only `on.event`, because every other kind of handler writes annotations or finalizers onto users' objects.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory  # kopf.operator takes it, and exports no name

from llmservice_api.names import APIKEYS, BUDGETS, GPUPOOLS, LABEL_NAMESPACE, LABEL_SERVICE, LLMSERVICES
from llmservice_operator.cluster import API_VERSIONS
from llmservice_operator.store import Ref, Store, ref_of
from llmservice_operator.workqueue import KeyQueue

Key = tuple[str, str]
Json = dict[str, Any]

CHILDREN: Final = (
    "rayservices",
    "rayclusters",
    "services",
    "networkpolicies",
    "poddisruptionbudgets",
    "ingresses",
    "pods",
)
SHARED: Final = (GPUPOOLS, "nodes", "ingressclasses")
NAMESPACED: Final = (LLMSERVICES, APIKEYS, BUDGETS, *CHILDREN)
WATCHED: Final = (*NAMESPACED, *SHARED)
_STATUS_UNREAD: Final = ("networkpolicies", "poddisruptionbudgets")
_MOVES_WITH_STATUS: Final = ("resourceVersion", "managedFields")
_RETRY_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 75.0
_ENDING_SECONDS: Final = 20.0
"""Where one of kopf's parts has failed, such as at a 401, it waits for the others, which may be for ever."""


@dataclass
class Router:
    """From a changed object to the keys that must be looked at again."""

    store: Store
    services: KeyQueue[Key]
    api_keys: KeyQueue[Key]
    pools: KeyQueue[str]

    def changed(self, plural: str, obj: Json) -> None:
        """An object was added or modified."""
        known = self.store.get(ref_of(plural, obj))
        ref = self.store.put(plural, obj)
        if known is not None and (plural == BUDGETS or is_no_news(plural, known, obj)):
            return  # what was spent bears on no key's status
        if plural == LLMSERVICES and (known is None or _generation(known) != _generation(obj)):
            self.services.add((ref.namespace, ref.name), first=True)
        else:
            self.touch(ref, obj)
        if plural == LLMSERVICES and (known is None or _says_names(known) != _says_names(obj)):
            for each in (known, obj):
                self.touch_sharing(each)
        if known is not None and known["metadata"].get("labels") != obj["metadata"].get("labels"):
            self.touch(ref, known)  # the service whose label it bore

    def deleted(self, plural: str, obj: Json) -> None:
        """An object is gone; where another one has its name meanwhile, that one stays known."""
        self.touch(self.store.deleted(plural, obj), obj)
        if plural == LLMSERVICES:
            self.touch_sharing(obj)

    def touch(self, ref: Ref, obj: Json) -> None:
        """Add the keys that an object bears on, whether it is there or gone."""
        if ref.plural == LLMSERVICES:
            self.services.add((ref.namespace, ref.name))
        elif ref.plural == APIKEYS:
            self.api_keys.add((ref.namespace, ref.name))
        elif ref.plural == BUDGETS:
            self._touch_spenders(ref)
        elif ref.plural in CHILDREN:
            labels = obj["metadata"].get("labels", {})
            if LABEL_SERVICE in labels:
                self.services.add((labels.get(LABEL_NAMESPACE, ref.namespace), labels[LABEL_SERVICE]))
        else:
            self.touch_shared([ref])

    def touch_shared(self, refs: Collection[Ref]) -> None:
        """Look at every LLMService again, and at the pools: what they share has changed, these objects."""
        for service in self.store.versions(LLMSERVICES) if refs else ():
            self.services.add((service.namespace, service.name))
        for ref in refs:
            self._touch_pools(ref)

    def touch_sharing(self, service: Json | None) -> None:
        """Look again at the services that have one of its names: whose it is may have changed."""
        for key in self.store.model_names.sharing(service) if service is not None else ():
            self.services.add(key)

    def _touch_spenders(self, budget: Ref) -> None:
        """Look again at the keys that name the Budget: it is there, or is not."""
        for key in self.store.of_kind(APIKEYS):
            named = (key.get("spec") or {}).get("budgetRef") or {}
            if key["metadata"]["namespace"] == budget.namespace and named.get("name") == budget.name:
                self.api_keys.add((budget.namespace, key["metadata"]["name"]))

    def _touch_pools(self, ref: Ref) -> None:
        if ref.plural == GPUPOOLS:
            self.pools.add(ref.name)
        elif ref.plural == "nodes":
            for pool in self.store.of_kind(GPUPOOLS):
                self.pools.add(pool["metadata"]["name"])


def _generation(service: Json) -> Any:
    """Another one means that somebody has edited the spec."""
    return service["metadata"].get("generation")


def _says_names(service: Json) -> tuple[Any, bool]:
    """All that its names follow from."""
    return service.get("spec"), "deletionTimestamp" in service["metadata"]


def is_no_news(plural: str, known: Json, obj: Json) -> bool:
    """Whether an event brings nothing that a reconcile would see.

    It is the echo of our own write, or of what a relist found: whoever put that into the store has its key looked at
    again. Or it differs in a status that nobody reads, which the cluster's controllers write after each creation.
    """
    if plural != LLMSERVICES and plural not in CHILDREN:
        return False
    is_echo = known["metadata"].get("resourceVersion") == obj["metadata"].get("resourceVersion")
    return is_echo or (plural in _STATUS_UNREAD and _desired_part(known) == _desired_part(obj))


def _desired_part(obj: Json) -> Json:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _MOVES_WITH_STATUS}
    return {"metadata": metadata, "spec": obj.get("spec")}


def watched(namespaces: Collection[str]) -> tuple[str, ...]:
    """Kinds to watch: beside named namespaces nothing, since no Role can let what is cluster-scoped be read."""
    return NAMESPACED if namespaces else WATCHED


def registry(
    router: Router, shared_changed: Callable[[str, Json], bool], kinds: Collection[str] = WATCHED
) -> kopf.OperatorRegistry:
    """Watches for `kinds`. `shared_changed`: whether a cluster-scoped object changed in what is read of it."""
    found = kopf.OperatorRegistry()
    for plural in kinds:
        group, _, version = API_VERSIONS[plural].rpartition("/")
        labels = {LABEL_SERVICE: kopf.PRESENT} if plural in CHILDREN else None
        kopf.on.event(group, version, plural, labels=labels, id=plural, registry=found)(
            _handler(plural, router, shared_changed)
        )
    return found


def _handler(
    plural: str, router: Router, shared_changed: Callable[[str, Json], bool]
) -> Callable[..., Awaitable[None]]:
    async def handle(event: Any, **_: Any) -> None:  # a plain function would be given a thread for each event
        obj = event["object"]
        if event["type"] == "DELETED":
            router.deleted(plural, obj)
        elif plural not in SHARED or shared_changed(plural, obj):
            router.changed(plural, obj)

    return handle


class _NothingCompared(kopf.MultiDiffBaseStorage):
    """No former state of an object, so that kopf does not copy each event's whole object to compare it with one."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing of it."""
        return kopf.BodyEssence()


class NothingRemembered(ResourceMemories):
    """kopf without a memory: it would keep a kilobyte of each object, for kinds of handlers that are not used here."""

    async def recall(self, *of: Any, **more: Any) -> ResourceMemory:
        """A new one for each event."""
        return await super().recall(*of, **(more | {"ephemeral": True}))


def configure(settings: kopf.OperatorSettings, namespaces: Collection[str] = ()) -> None:
    """kopf so that it never gives a watch up (by default after 54 s of errors) and posts no Events of its own.

    With `namespaces` named, it reads neither namespaces nor CRDs.
    """
    settings.scanning.disabled = bool(namespaces)
    settings.networking.error_backoffs = repeat(_RETRY_SECONDS)
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    settings.watching.inactivity_timeout = _SILENCE_SECONDS
    settings.process.ultimate_exiting_timeout = _ENDING_SECONDS
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NothingCompared([])
    settings.persistence.progress_storage = kopf.MultiProgressStorage([])
    settings.peering.standalone = True
    for plural in CHILDREN:
        settings.watching.label_selectors[plural] = LABEL_SERVICE
