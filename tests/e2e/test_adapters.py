"""LoRA adapters on the real model: named in the spec or loaded at first use, and each alone in its failure."""

import json
from collections.abc import Iterator

import openai
import pytest

from hack import install, model
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps
from hack.models import lora_adapter
from tests.e2e.site import ASK_AGAIN, ROOM, Json, Site, llmservice, ready_service

NAME = "tuned"
PROMPT = "The capital of France is"
CAPACITY = 2
LEGAL, MEDICAL, BROKEN = (
    {"name": name, "source": f"pvc://models/adapters/{name}"} for name in ("legal", "medical", "broken")
)


def with_adapters(*adapters: Json) -> Json:
    """Parts of the spec: adapters, and room for so many dynamic ones."""
    return {
        "adapters": list(adapters),
        "dynamicAdapters": {"source": "pvc://models/adapters"},
        "engine": {"maxModelLen": 1024, "args": {"enforceEager": True, "maxLoras": 1, "maxCpuLoras": CAPACITY}},
    }


@pytest.fixture(scope="module")
def tuned(site: Site) -> Iterator[Site]:
    """A service with one adapter, and more of them in its volume: three that are sound, and one that is cut short."""
    base = model.ensure(Steps())
    folder = install.make_room(site.kubeconfig, ROOM) / "adapters"
    for seed, name in enumerate(("legal", "medical", "third")):
        lora_adapter.write(base, folder / name, seed)
    broken = lora_adapter.write(base, folder / "broken", 9) / "adapter_model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-100])
    ready_service(site, ROOM, NAME, model={}, **with_adapters(LEGAL))
    wait_states(site, legal="Loaded")
    try:
        yield site
    finally:
        site.api.kubectl("delete", "llm", NAME, "--namespace", ROOM, "--wait")


def edit(site: Site, *adapters: Json) -> None:
    """The spec names these adapters now."""
    site.apply(ROOM, llmservice(NAME, **{"rollout": {"drain": "15s"}, **with_adapters(*adapters)}))


def wait_states(site: Site, **states: str) -> list[Json]:
    """`status.adapters`, once it says these states and no other adapter, of the present generation."""

    def found() -> list[Json]:
        service = site.service(ROOM, NAME) or {}
        status = service.get("status") or {}
        current = status.get("observedGeneration") == service.get("metadata", {}).get("generation")
        return list(status.get("adapters") or []) if current else []

    wait_until(
        lambda: {each["name"]: each["state"] for each in found()} == states,
        f"status.adapters {states}",
        timeout=90,
        interval=ASK_AGAIN,
    )
    return found()


def said(site: Site, name: str) -> str:
    """What a model or adapter goes on with, always the same."""
    client = site.client()
    answer = client.completions.create(model=name, prompt=PROMPT, max_tokens=4, temperature=0)
    assert answer.model == name
    return answer.choices[0].text


def refused(site: Site, name: str) -> bool:
    """Whether no such model exists, for a client."""
    try:
        said(site, name)
    except openai.NotFoundError as error:
        return error.code == "model_not_found"
    return False


def pods(site: Site) -> list[Json]:
    """The service's worker pods."""
    selector = f"llmservice.io/service={NAME},ray.io/node-type=worker"
    listed = site.api.kubectl("get", "pods", "--namespace", ROOM, "-l", selector, "-o", "json")
    return list(json.loads(listed)["items"])


def engine(site: Site) -> tuple[str, list[str]]:
    """Which pod, and which processes of replica and engine, there are."""
    (pod,) = pods(site)
    script = "for p in /proc/[0-9]*; do echo $(basename $p) $(tr '\\0' ' ' < $p/cmdline 2>/dev/null); done"
    words = ("exec", pod["metadata"]["name"], "--namespace", ROOM, "-c", "ray-worker", "--", "sh", "-c", script)
    lines = site.api.kubectl(*words).splitlines()
    processes = sorted(line for line in lines if "ServeReplica" in line or "EngineCore" in line)
    assert processes
    return pod["metadata"]["uid"], processes


def names_in_replica(site: Site) -> set[str]:
    """What the replica itself lists: the gateway knows no dynamic ones."""
    (pod,) = pods(site)
    path = f"/api/v1/namespaces/{ROOM}/pods/{pod['metadata']['name']}:8000/proxy/v1/models"
    return {card["id"] for card in json.loads(site.api.kubectl("get", "--raw", path))["data"]}


def revision(site: Site) -> str:
    """The active revision."""
    return str((site.service(ROOM, NAME) or {})["status"]["revision"]["active"])


@pytest.fixture(scope="module")
def texts(tuned: Site) -> dict[str, str]:
    """What the model and its first adapter say."""
    return {name: said(tuned, name) for name in (NAME, "legal")}


def test_an_adapter_of_the_spec_answers_under_its_own_id(tuned: Site, texts: dict[str, str]) -> None:
    assert "Paris" in texts[NAME]
    assert texts["legal"] != texts[NAME]
    assert said(tuned, "legal") == texts["legal"]
    cards = {card.id: card.model_dump() for card in tuned.client().models.list()}
    assert cards["legal"]["parent"] == NAME
    assert tuned.condition(ROOM, NAME, "AdaptersReady")["reason"] == "AdaptersLoaded"


def test_a_second_is_added_and_taken_away_while_the_same_engine_runs(tuned: Site, texts: dict[str, str]) -> None:
    before = (revision(tuned), engine(tuned))
    edit(tuned, LEGAL, MEDICAL)
    wait_states(tuned, legal="Loaded", medical="Loaded")
    assert said(tuned, "medical") not in texts.values()
    edit(tuned, LEGAL)
    wait_states(tuned, legal="Loaded")
    wait_until(lambda: refused(tuned, "medical"), "medical is gone", timeout=30, interval=ASK_AGAIN)
    wait_until(lambda: "medical" not in names_in_replica(tuned), "also in the replica", timeout=30, interval=ASK_AGAIN)
    assert said(tuned, "legal") == texts["legal"]
    assert (revision(tuned), engine(tuned)) == before


def test_a_broken_one_breaks_only_itself(tuned: Site, texts: dict[str, str]) -> None:
    before = (revision(tuned), engine(tuned))
    edit(tuned, LEGAL, BROKEN)
    found = wait_states(tuned, legal="Loaded", broken="Failed")
    (broken,) = [each for each in found if each["name"] == "broken"]
    assert broken["reason"] == "Corrupt"
    assert "pvc://models/adapters/broken has a corrupt adapter_model.safetensors" in broken["message"]
    assert tuned.condition(ROOM, NAME, "AdaptersReady")["reason"] == "AdapterFailed"
    assert {name: said(tuned, name) for name in texts} == texts
    wait_until(lambda: refused(tuned, "broken"), "broken does not answer", timeout=30, interval=ASK_AGAIN)
    assert tuned.condition(ROOM, NAME, "Ready")["status"] == "True"
    edit(tuned, LEGAL)
    wait_states(tuned, legal="Loaded")
    assert (revision(tuned), engine(tuned)) == before


def test_a_dynamic_one_is_loaded_at_its_first_use_and_the_least_recently_used_goes(
    tuned: Site, texts: dict[str, str]
) -> None:
    before = (revision(tuned), engine(tuned))
    assert said(tuned, f"{NAME}:legal") == texts["legal"]
    assert said(tuned, f"{NAME}:medical") not in texts.values()
    assert names_in_replica(tuned) == {NAME, "legal", f"{NAME}:legal", f"{NAME}:medical"}
    said(tuned, f"{NAME}:third")
    assert names_in_replica(tuned) == {NAME, "legal", f"{NAME}:medical", f"{NAME}:third"}
    assert said(tuned, f"{NAME}:legal") == texts["legal"]
    assert names_in_replica(tuned) == {NAME, "legal", f"{NAME}:third", f"{NAME}:legal"}
    assert (revision(tuned), engine(tuned)) == before


@pytest.mark.parametrize("name", [f"{NAME}:nothing", f"{NAME}:../legal", f"{NAME}:", "legal:third"])
def test_a_dynamic_one_that_is_not_there_is_not_found(tuned: Site, name: str) -> None:
    assert refused(tuned, name)


def test_a_dynamic_one_that_is_broken_is_said_and_harms_none(tuned: Site) -> None:
    with pytest.raises(openai.BadRequestError) as broken:
        said(tuned, f"{NAME}:broken")
    assert broken.value.code == "adapter_unusable"
    assert "/models" not in broken.value.message


def test_files_of_an_adapter_that_change_under_it_do_not_reach_the_engine(tuned: Site, texts: dict[str, str]) -> None:
    before = engine(tuned)
    folder = install.make_room(tuned.kubeconfig, ROOM) / "adapters" / "legal"
    weights = folder / "adapter_model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(b"overwritten")
    try:
        for name in ("medical", "third"):  # the engine's own room is for two: it reads `legal` again afterwards
            said(tuned, f"{NAME}:{name}")
        assert said(tuned, "legal") == texts["legal"]
    finally:
        weights.write_bytes(kept)
    assert engine(tuned) == before
