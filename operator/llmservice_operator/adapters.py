"""How it stands with the adapters of a service, as its replicas say it: pure.

A replica is asked until it has loaded all that this generation of the spec names, and never again after that.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from llmservice_api.llmservice import Adapter
from llmservice_api.names import REPLICA_PORT
from llmservice_operator.engine import is_ready_worker
from llmservice_operator.observed import Replicas
from llmservice_worker.args import AdapterState

Json = dict[str, Any]
Answer = Sequence[Json] | None
"""What a replica says of its adapters; None where it does not answer (yet)."""

LOADED: Final[AdapterState] = "Loaded"
LOADING: Final[AdapterState] = "Loading"
FAILED: Final[AdapterState] = "Failed"
_LOADING_AGAIN: Final = 2.0
_SILENT_AGAIN: Final = 10.0
_FAILED_AGAIN: Final = 30.0
"""A replica tries a failed adapter again by itself."""
_MESSAGE_MAX: Final = 512
_REASON_MAX: Final = 64


def to_ask(pods: Sequence[Json], settled: Collection[str]) -> dict[str, str]:
    """Pod's uid → `<ip>:<port>` of the ready workers that have not settled."""
    return {
        pod["metadata"]["uid"]: f"{ip}:{REPLICA_PORT}"
        for pod in pods
        if is_ready_worker(pod) and pod["metadata"]["uid"] not in settled and (ip := pod["status"].get("podIP"))
    }


@dataclass
class Settled:
    """Which replicas need not be asked again, by service and for one generation; a restarted operator asks anew."""

    known: dict[tuple[str, str], tuple[int, frozenset[str]]] = field(default_factory=dict)

    def of(self, key: tuple[str, str], generation: int) -> frozenset[str]:
        """Uids of the pods of a service that have loaded all that this generation names."""
        noted, uids = self.known.get(key, (generation, frozenset()))
        return uids if noted == generation else frozenset()

    def note(self, key: tuple[str, str], generation: int, uids: frozenset[str]) -> None:
        """These have; what was noted before is replaced."""
        if uids:
            self.known[key] = (generation, uids)
        else:
            self.known.pop(key, None)


def is_settled(wanted: Sequence[Adapter], answer: Answer) -> bool:
    """Whether a replica has loaded exactly what is wanted."""
    said = [(each.get("name"), each.get("source"), each.get("state")) for each in answer or ()]
    return answer is not None and said == [(adapter.name, adapter.source, LOADED) for adapter in wanted]


def next_look(wanted: Sequence[Adapter], replicas: Replicas, left: Collection[str]) -> float | None:
    """Seconds until the replicas `left` to ask are asked again; None where none is left."""
    answers = {uid: replicas.answers.get(uid) for uid in left}
    unsettled = {uid: answer for uid, answer in answers.items() if not is_settled(wanted, answer)}
    if not unsettled:
        return None
    spoken = [answer for answer in unsettled.values() if answer is not None]
    if any(_of(adapter, answer)["state"] == LOADING for answer in spoken for adapter in wanted):
        return _LOADING_AGAIN
    if len(spoken) == len(unsettled):
        return _FAILED_AGAIN
    return _SILENT_AGAIN if replicas.speak else _LOADING_AGAIN


def statuses(wanted: Sequence[Adapter], replicas: Replicas, before: Sequence[Json]) -> list[Json]:
    """`status.adapters`: Failed where any replica failed, Loading where any still loads.

    Where no replica says anything, such as while the service sleeps, what was known stays.
    """
    if not replicas.speak:
        known = {each["name"]: each for each in before}
        return [known.get(adapter.name, _status(adapter.name, LOADING)) for adapter in wanted]
    answers = [answer for answer in replicas.answers.values() if answer is not None]
    return [_merged(adapter, answers) for adapter in wanted]


def _merged(adapter: Adapter, answers: Sequence[Sequence[Json]]) -> Json:
    said = [_of(adapter, answer) for answer in answers]
    for state in (FAILED, LOADING):
        found = next((each for each in said if each["state"] == state), None)
        if found is not None:
            return found
    return _status(adapter.name, LOADED)


def _of(adapter: Adapter, answer: Sequence[Json]) -> Json:
    """What one replica says of an adapter; one that it has not heard of, or knows from elsewhere, is on its way."""
    wanted = (adapter.name, adapter.source)
    found = next((each for each in answer if (each.get("name"), each.get("source")) == wanted), {})
    state = found.get("state")
    if state not in get_args(AdapterState):
        return _status(adapter.name, LOADING)
    return _status(adapter.name, str(state), _text(found, "reason", _REASON_MAX), _text(found, "message", _MESSAGE_MAX))


def _status(name: str, state: str, reason: str | None = None, message: str | None = None) -> Json:
    parts = {"name": name, "state": state, "reason": reason, "message": message}
    return {key: value for key, value in parts.items() if value}


def _text(said: Json, key: str, most: int) -> str | None:
    value = said.get(key)
    return value[:most] if isinstance(value, str) else None
