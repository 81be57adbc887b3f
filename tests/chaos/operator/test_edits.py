"""Edits drawn by hypothesis, good and bad: what they leave is what their last spec alone would have made.

Each example is a chain of edits of one service, looked at after every few: a twin that is made with the resulting spec
must come to the same state, whatever the way there was; what cannot be carried out harms nothing that serves, and once
the last good spec is back, so is its state; what admission refuses changes nothing; and the spec of the beginning
brings the state of the beginning back.
"""

import contextlib
import json
import os
from collections import Counter
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.chaos.operator.edits import BY_HAND, HELD, REFUSED, of_schema
from tests.chaos.operator.rig import Rig
from tests.chaos.operator.state import differences, state
from tests.chaos.operator.workloads import SPEC, new_namespace
from tests.integration.client import Client, Refused, an_object
from tests.integration.conftest import crds
from tests.integration.services import SOURCE

Json = dict[str, Any]

CHAIN: Final = 15
EXAMPLES: Final = 140 if os.environ.get("LONG") else 20
AT_ONCE: Final = 5
"""Edits between two looks, as fast as they can be made."""
FIRST: Final[Json] = {"model": SOURCE} | SPEC
_OF_THE_WAY: Final = frozenset({"generation", "observedGeneration", "scaling"})
"""How often it was changed, and the last decision on replicas; specs are not judged, so theirs may go too."""


def _from_schema() -> list[Json]:
    (crd,) = [each for each in crds() if each["spec"]["names"]["plural"] == "llmservices"]
    return list(of_schema(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]))


GOOD: Final = st.sampled_from(BY_HAND) | st.sampled_from(_from_schema())
DRAWN: Final = GOOD | GOOD | GOOD | st.sampled_from(REFUSED) | st.sampled_from(HELD)
EDITS: Final = st.lists(DRAWN, min_size=CHAIN, max_size=CHAIN)


def test_an_edited_service_is_as_one_that_was_made_so(site: Rig) -> None:
    seen: Counter[str] = Counter()

    # A failed chain is told as it is: each try to shorten it would take as long as the chain.
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(EDITS)
    def chain(drawn: list[Json]) -> None:
        seen.update(_chain(site, drawn))
        seen["edits"] += len(drawn)

    chain()
    print(f"edits, and what looks between them found: {dict(seen)}")
    assert seen["edits"] >= CHAIN * EXAMPLES
    assert min(seen["carried out"], seen["held"], seen["refused"]) >= EXAMPLES // 2, seen


def _chain(site: Rig, drawn: list[Json]) -> Counter[str]:
    """Make the edits and judge what comes of them; how many looks found what."""
    seen: Counter[str] = Counter()
    namespace = new_namespace(site.client)
    site.client.create("llmservices", an_object("LLMService", "m", **FIRST), namespace)
    first = last = _spec(site.client, namespace), _settled(site, namespace)
    for begin in range(0, CHAIN, AT_ONCE):
        seen["refused"] += sum(_is_refused(site.client, namespace, edit) for edit in drawn[begin : begin + AT_ONCE])
        found, told = _settled(site, namespace), drawn[: begin + AT_ONCE]
        status = _status(site.client, namespace)
        assert "address" in status, f"what served serves no more after {told}"
        if _is_carried_out(status):
            last = _spec(site.client, namespace), found
            assert "\n".join(differences(found, _twin(site, namespace, last[0]))) == "", told
            seen["carried out"] += 1
        else:
            assert "\n".join(differences(_returned(site, namespace, last[0]), last[1])) == "", told
            seen["held"] += 1
    assert "\n".join(differences(_returned(site, namespace, first[0]), first[1])) == "", drawn
    site.client.delete("llmservices", namespace, "m")
    return seen


def _is_refused(client: Client, namespace: str, edit: Json) -> bool:
    """Make the edit; whether it is one that must not come through, by refusal or since all of it was pruned."""
    before = _spec(client, namespace) if edit in REFUSED else None
    with contextlib.suppress(Refused):  # of the others some are so too, beside what was said before
        client.merge("llmservices", namespace, "m", {"spec": _placed(edit, namespace)})
    if before is None:
        return False
    assert _spec(client, namespace) == before, edit
    return True


def _returned(site: Rig, namespace: str, spec: Json) -> Json:
    """The state once the service has that spec again."""
    change = _towards(_spec(site.client, namespace), spec)
    site.client.merge("llmservices", namespace, "m", {"spec": change})
    return _settled(site, namespace)


def _placed(edit: Json, namespace: str) -> Json:
    """With hosts of the namespace's own."""
    return dict(json.loads(json.dumps(edit).replace("HOST", f"{namespace}.example.com")))


def _twin(site: Rig, namespace: str, spec: Json) -> Json:
    """What a service that is made with that spec comes to."""
    other = new_namespace(site.client)
    own = json.loads(json.dumps(spec).replace(namespace, other))
    site.client.create("llmservices", an_object("LLMService", "m", **own), other)
    found = _settled(site, other)
    site.client.delete("llmservices", other, "m")
    return found


def _settled(site: Rig, namespace: str) -> Json:
    """The state once its newest spec has been taken in and nothing is written any more."""

    def is_taken_in() -> bool:
        service = site.client.find("llmservices", namespace, "m") or {}
        observed = service.get("status", {}).get("observedGeneration")
        return bool(observed == service["metadata"]["generation"])

    def is_done() -> bool:
        status = _status(site.client, namespace)
        spoken = {item["type"]: item["status"] for item in status.get("conditions", [])}
        is_held = any(spoken.get(kind) == "False" for kind in ("Accepted", "Placed", "ModelReady"))
        is_served = spoken.get("Ready") == "True" and set(status["revision"]) == {"active"}
        return is_taken_in() and (is_held or _is_paused(status) or is_served)

    site.settles(is_done)
    assert is_taken_in(), _status(site.client, namespace)
    return dict(_without_the_way(state(site.client, namespace)))


def _status(client: Client, namespace: str) -> Json:
    return dict((client.find("llmservices", namespace, "m") or {}).get("status", {}))


def _spec(client: Client, namespace: str) -> Json:
    return dict((client.find("llmservices", namespace, "m") or {})["spec"])


def _is_carried_out(status: Json) -> bool:
    """Whether nothing of the spec is refused or held back; no pod runs here, so Scaling waits for its replicas."""
    spoken = {item["type"]: item["status"] for item in status["conditions"] if item["type"] != "Scaling"}
    return set(spoken.values()) == {"True"} and "Stalled" not in spoken and not _is_paused(status)


def _is_paused(status: Json) -> bool:
    return any(item["reason"] == "Paused" for item in status.get("conditions", []))


def _without_the_way(value: Any) -> Any:
    """Without what tells of the way."""
    if isinstance(value, dict):
        return {key: _without_the_way(each) for key, each in value.items() if key not in _OF_THE_WAY}
    return [_without_the_way(each) for each in value] if isinstance(value, list) else value


def _towards(now: Json, wanted: Json) -> Json:
    """The merge patch that makes one spec of another."""
    change: Json = dict.fromkeys(set(now) - set(wanted))
    for key, value in wanted.items():
        before = now.get(key)
        change[key] = _towards(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return change
