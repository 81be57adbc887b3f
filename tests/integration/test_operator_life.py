"""An LLMService's life on a real API server with the whole operator; KubeRay's part and the tokens are the test's."""

import asyncio
import base64
import json
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from llmservice_operator.cluster import Access, connect
from llmservice_operator.keys import Key
from llmservice_operator.keys import digest as digest_of
from llmservice_operator.resources.ingress import ingress_name
from tests.integration.client import CHILDREN, Client, an_object, condition, eventually
from tests.integration.conftest import INSTALL_NAMESPACE
from tests.integration.operator_run import PEPPER, PUBLIC, Running, operator
from tests.integration.services import SOON, Service, serving

Json = dict[str, Any]
OTHER = {"source": "hf://org/other", "revision": "abc"}


pytestmark = pytest.mark.usefixtures("cpu_pool", "running")


@pytest.fixture(scope="module")
def running(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with operator(control_plane, tmp_path_factory.mktemp("operator")) as found:
        yield found


def test_children_are_made_with_owner_and_labels(client: Client, namespace: str) -> None:
    service = Service(client, namespace)
    revision = service.revision()
    service.says("Ready", "False", "Loading")
    assert client.names("services", namespace) == [revision]
    assert client.names("networkpolicies", namespace) == client.names("poddisruptionbudgets", namespace) == ["m"]
    uid = service.obj["metadata"]["uid"]
    for plural in CHILDREN:
        for child in client.items(plural, namespace):
            (owner,) = child["metadata"]["ownerReferences"]
            assert (owner["uid"], owner["controller"], owner["kind"]) == (uid, True, "LLMService")
            labels = child["metadata"]["labels"]
            assert sum(name.startswith("app.kubernetes.io/") for name in labels) == 6
            assert labels["llmservice.io/service"] == "m"


def test_running_then_a_token_is_ready(running: Running, client: Client, namespace: str) -> None:
    service, revision = serving(client, namespace)
    assert service.status["url"] == f"{PUBLIC}/{namespace}/m/v1"
    address = (client.find("services", namespace, revision) or {})["spec"]["clusterIP"]
    assert service.status["address"] == f"{address}:8000"
    assert f"m at {address}:8000" in running.tokens.asked
    assert f"m through /{namespace}/m to {address}:8000" in running.tokens.asked
    events = {event["reason"] for event in client.items("events", namespace)}
    assert {"RollingOut", "Serving"} <= events


def test_a_failed_engine_tells_its_root_cause(client: Client, namespace: str) -> None:
    service = Service(client, namespace)
    service.fails(service.revision(), "Traceback\nllmservice: cause: libnuma.so.1 is missing\nsee root cause above")
    assert service.says("EngineReady", "False", "EngineFailed") == "libnuma.so.1 is missing"


EDITS: dict[str, tuple[str, Json]] = {
    "rayservices": ("revision", {"spec": {"serveConfigV2": "{}"}}),
    "services": ("revision", {"spec": {"selector": {"ray.io/serve": "false"}}}),
    "networkpolicies": ("m", {"spec": {"ingress": [{}]}}),
    "poddisruptionbudgets": ("m", {"spec": {"minAvailable": 5}}),
}


def _has_spec(client: Client, ref: tuple[str, str, str], spec: Json) -> bool:
    return (client.find(*ref) or {}).get("spec") == spec


def test_edited_children_are_restored_and_what_others_add_stays(client: Client, namespace: str) -> None:
    service, revision = serving(client, namespace)
    for plural, (name, change) in EDITS.items():
        name = revision if name == "revision" else name
        before = (client.find(plural, namespace, name) or {})["spec"]
        client.merge(plural, namespace, name, change | {"metadata": {"annotations": {"example.com/note": "kept"}}})
        restored = partial(_has_spec, client, (plural, namespace, name), before)
        wait_until(restored, f"{plural} is restored", timeout=SOON)
        assert (client.find(plural, namespace, name) or {})["metadata"]["annotations"]["example.com/note"] == "kept"
    assert condition(service.obj, "Ready")[0] == "True"


def test_a_child_whose_label_is_edited_is_restored(client: Client, namespace: str) -> None:
    serving(client, namespace)
    change = {"metadata": {"labels": {"llmservice.io/service": "other"}}}
    client.merge("networkpolicies", namespace, "m", change)
    wait_until(
        lambda: (
            (client.find("networkpolicies", namespace, "m") or {})["metadata"]["labels"]["llmservice.io/service"] == "m"
        ),
        "the label is restored",
        timeout=SOON,
    )


@pytest.mark.parametrize("plural", CHILDREN)
def test_a_deleted_child_comes_back(plural: str, client: Client, namespace: str) -> None:
    _, revision = serving(client, namespace)
    name = revision if plural in ("rayservices", "services") else "m"
    uid = (client.find(plural, namespace, name) or {})["metadata"]["uid"]
    client.delete(plural, namespace, name)
    wait_until(
        lambda: (client.find(plural, namespace, name) or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid,
        f"{plural} comes back",
        timeout=SOON,
    )


@pytest.mark.parametrize("labels", [{}, {"llmservice.io/service": "m"}], ids=["plain", "with our label"])
def test_a_foreign_child_is_never_adopted(labels: Json, client: Client, namespace: str) -> None:
    theirs = {"metadata": {"name": "m", "labels": labels}, "spec": {"podSelector": {"matchLabels": {"a": "b"}}}}
    before = client.create("networkpolicies", theirs, namespace)
    service = Service(client, namespace)
    assert "is not ours" in service.says("Accepted", "False", "ChildNotOwned")
    after = client.find("networkpolicies", namespace, "m") or {}
    assert (after["spec"], after["metadata"].get("ownerReferences")) == (before["spec"], None)
    client.delete("networkpolicies", namespace, "m")
    service.edit(replicas=2)  # or half a minute later by itself
    service.says("Accepted", "True", "Valid")


def test_a_bad_spec_is_said_and_the_good_one_restores_what_was(client: Client, namespace: str) -> None:
    service, revision = serving(client, namespace)
    address = service.status["address"]
    service.edit(endpoint={"host": "other.svc"})
    service.says("Accepted", "False", "HostReserved", within=5)
    assert service.status["observedGeneration"] == 2
    assert (service.status["address"], service.revisions) == (address, [revision])
    service.edit(endpoint=None)
    service.says("Ready", "True", "Serving")
    assert (service.status["address"], service.revisions) == (address, [revision])


def test_an_edit_brings_a_revision_up_beside_the_first_which_then_drains(client: Client, namespace: str) -> None:
    service, old = serving(client, namespace, rollout={"drain": "1s"})
    address = service.status["address"]
    service.edit(model=OTHER)
    new = service.revision(beside=old)
    assert service.revisions == sorted([old, new])
    assert service.status["address"] == address
    service.comes_up(new)
    wait_until(lambda: service.revisions == [new], "the old revision is gone", timeout=SOON)
    wait_until(lambda: client.names("services", namespace) == [new], "its Service too", timeout=SOON)
    service.says("Progressing", "True", "RolledOut")
    assert service.status["address"] != address
    assert service.status["revision"] == {"active": new}


def test_scaling_makes_no_revision(client: Client, control_plane: ControlPlane, namespace: str) -> None:
    service, revision = serving(client, namespace)
    control_plane.kubectl("scale", "llm/m", "--replicas=3", "-n", namespace)
    wait_until(lambda: service.status["desiredReplicas"] == 3, "three are desired", timeout=SOON)
    assert service.revisions == [revision]
    config = json.loads((client.find("rayservices", namespace, revision) or {})["spec"]["serveConfigV2"])
    assert config["applications"][0]["deployments"][0]["autoscaling_config"]["min_replicas"] == 3


def test_delete_leaves_nothing_and_users_objects_bear_nothing_of_ours(client: Client, namespace: str) -> None:
    host = f"{namespace}.example.com"
    service, _ = serving(client, namespace, endpoint={"host": host, "ingressClassName": "traefik"})
    assert client.find("ingresses", INSTALL_NAMESPACE, ingress_name(host)) is not None
    metadata = service.obj["metadata"]
    assert "finalizers" not in metadata
    assert "annotations" not in metadata
    client.delete(*service.ref)
    wait_until(
        lambda: not client.find("ingresses", INSTALL_NAMESPACE, ingress_name(host)), "Ingress gone", timeout=SOON
    )
    wait_until(lambda: not any(client.names(plural, namespace) for plural in CHILDREN), "children are gone", timeout=90)


def test_no_default_ingress_class(client: Client, namespace: str) -> None:
    service = Service(client, namespace, endpoint={"host": f"{namespace}.example.com"})
    service.says("RouteReady", "False", "IngressClassMissing")
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
    traefik = {"metadata": {"name": "traefik", "annotations": annotations}, "spec": {"controller": "t.io/t"}}
    client.create("ingressclasses", traefik)
    service.says("RouteReady", "False", "RoutePending")
    client.delete("ingressclasses", "", "traefik")
    service.says("RouteReady", "False", "IngressClassMissing")


def test_a_missing_claim(client: Client, namespace: str) -> None:
    service = Service(client, namespace, model={"source": "pvc://models/m"})
    assert "PersistentVolumeClaim models" in service.says("ModelReady", "False", "ClaimMissing")
    assert service.revisions == []


def test_a_key_is_issued_once_and_goes_with_its_object(client: Client, namespace: str) -> None:
    client.create("apikeys", an_object("APIKey", "app"), namespace)
    ref = ("apikeys", namespace, "app")
    eventually(client, ref, "Ready", "True", "Issued", SOON)
    key, secret = client.find(*ref) or {}, client.find("secrets", namespace, "app") or {}
    text = base64.b64decode(secret["data"]["OPENAI_API_KEY"]).decode()
    name, _, rest = text.partition(".")
    assert key["status"]["id"] == name.removeprefix("llms_")
    assert key["status"]["digest"] == digest_of(PEPPER, Key(key["status"]["id"], rest))
    assert rest not in json.dumps(key)
    assert "finalizers" not in key["metadata"]
    client.delete(*ref)
    wait_until(lambda: client.find("secrets", namespace, "app") is None, "the Secret is gone", timeout=90)


def test_a_key_is_rotated_without_a_moment_in_which_neither_works(
    running: Running, client: Client, namespace: str
) -> None:
    ref = ("apikeys", namespace, "rotated")
    client.create("apikeys", an_object("APIKey", "rotated", rotation={"serial": 1}), namespace)
    eventually(client, ref, "Ready", "True", "Issued", SOON)
    first = _shown(client, namespace)
    client.merge(*ref, {"spec": {"rotation": {"serial": 2, "overlap": "1h"}}})
    wait_until(lambda: _status(client, ref).get("previous", {}).get("validUntil"), "it is rotated", timeout=SOON)
    second, status = _shown(client, namespace), _status(client, ref)
    assert (status["id"], status["serial"], status["previous"]["id"]) == (second, 2, first)
    assert first != second
    client.merge(*ref, {"spec": {"rotation": {"overlap": "0s"}}})
    wait_until(lambda: "previous" not in _status(client, ref), "the key before has ended", timeout=SOON)
    assert (_shown(client, namespace), _status(client, ref)["id"]) == (second, second)
    asked = {(entry["objectRef"]["resource"], entry["verb"]) for entry in running.entries()}
    assert {verb for resource, verb in asked if resource == "secrets"} == {"patch"}


def test_the_operator_learns_of_a_secret_no_more_than_its_metadata(client: Client, namespace: str) -> None:
    client.create("secrets", {"metadata": {"name": "mine"}, "stringData": {"mine": "x"}}, namespace)
    before = client.find("secrets", namespace, "mine") or {}

    async def look() -> tuple[Json | None, ...]:
        async with connect(Access(client.server, client._context, dict)) as cluster:
            return tuple([await cluster.metadata("secrets", namespace, name) for name in ("mine", "none")])

    seen, nothing = asyncio.run(look())
    assert nothing is None
    assert seen is not None
    assert set(seen) == {"apiVersion", "kind", "metadata"}
    assert seen["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert (client.find("secrets", namespace, "mine") or {}) == before


def test_a_budget_that_a_key_names_is_missed_until_it_is_there(client: Client, namespace: str) -> None:
    ref = ("apikeys", namespace, "spender")
    client.create("apikeys", an_object("APIKey", "spender", budgetRef={"name": "team"}), namespace)
    assert "no such Budget" in eventually(client, ref, "LimitsEnforced", "False", "BudgetNotFound", SOON)
    eventually(client, ref, "Ready", "True", "Issued", SOON)
    client.create("budgets", an_object("Budget", "team", tokens=5), namespace)
    assert "ledger.enabled" in eventually(client, ref, "LimitsEnforced", "False", "MeteringOff", SOON)
    client.delete("budgets", namespace, "team")
    eventually(client, ref, "LimitsEnforced", "False", "BudgetNotFound", SOON)


def _status(client: Client, ref: tuple[str, str, str]) -> dict[str, Any]:
    return dict((client.find(*ref) or {}).get("status") or {})


def _shown(client: Client, namespace: str) -> str:
    """Id of the key in the Secret, as the key itself and the annotation say."""
    secret = client.find("secrets", namespace, "rotated") or {}
    found = base64.b64decode(secret["data"]["OPENAI_API_KEY"]).decode().partition(".")[0].removeprefix("llms_")
    assert secret["metadata"]["annotations"]["llmservice.io/key-id"] == found
    return found


def test_a_foreign_secret_is_not_taken_and_nothing_loops(running: Running, client: Client, namespace: str) -> None:
    before = client.create("secrets", {"metadata": {"name": "app"}, "stringData": {"mine": "x"}}, namespace)
    client.create("apikeys", an_object("APIKey", "app"), namespace)
    ref = ("apikeys", namespace, "app")
    eventually(client, ref, "Ready", "False", "SecretTaken", SOON)
    client.merge(*ref, {"metadata": {"labels": {"a": "b"}}})
    eventually(client, ref, "Ready", "False", "SecretTaken", SOON)
    assert (client.find("secrets", namespace, "app") or {})["data"] == before["data"]
    assert "digest" not in (client.find(*ref) or {})["status"]
    assert sum(write == "patch apikeys app" for write in running.writes()) <= 8


def test_liveness(running: Running) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/healthz", timeout=5) as answer:
        assert answer.read() == b"ok\n"
    with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/metrics", timeout=5) as answer:
        assert b'llmservice_reconcile_seconds_count{kind="LLMService"}' in answer.read()
