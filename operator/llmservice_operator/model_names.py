"""Which LLMService of a namespace answers to which name on the shared URL: the oldest that has it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

Age = tuple[str, str]
"""Creation and name, which order the services of a namespace from the oldest on."""


@dataclass
class ModelNames:
    """The LLMServices that have each name, kept as they change: a reconcile must not read all of its namespace."""

    _holders: dict[tuple[str, str], dict[str, Age]] = field(default_factory=dict)

    def add(self, service: Json) -> None:
        """It has its names; nothing of it is known yet."""
        for holders in (self._holders.setdefault(key, {}) for key in _keys(service)):
            holders[service["metadata"]["name"]] = _age(service)

    def discard(self, service: Json) -> None:
        """It has no names any more."""
        for key in _keys(service):
            self._holders[key].pop(service["metadata"]["name"], None)
            if not self._holders[key]:
                del self._holders[key]

    def taken(self, service: Json) -> dict[str, str]:
        """Of its names those that an older service has, with the oldest one's name."""
        found = {}
        for key in _keys(service):
            age, holder = min((age, holder) for holder, age in self._holders.get(key, {"": _age(service)}).items())
            if age < _age(service):
                found[key[1]] = holder
        return found

    def sharing(self, service: Json) -> Iterator[tuple[str, str]]:
        """Namespace and name of each other service that has one of its names."""
        for key in _keys(service):
            yield from ((key[0], name) for name in self._holders.get(key, {}) if name != service["metadata"]["name"])


def _age(service: Json) -> Age:
    return service["metadata"].get("creationTimestamp", ""), service["metadata"]["name"]


def _keys(service: Json) -> set[tuple[str, str]]:
    """By namespace, all that a request may call it by; none of one that is being deleted.

    Of an object that an older schema let in, what there is.
    """
    metadata, spec = service["metadata"], service.get("spec") or {}
    if "deletionTimestamp" in metadata:
        return set()
    model = spec.get("model") or {}
    adapters = [each.get("name") for each in spec.get("adapters") or []]
    names = {model.get("name") or metadata["name"], *(model.get("aliases") or []), *adapters}
    return {(metadata["namespace"], name) for name in names if isinstance(name, str)}
