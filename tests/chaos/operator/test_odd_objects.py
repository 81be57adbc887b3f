"""What nobody should do to objects, and somebody does: nothing of it makes the operator loop, write amiss or stop."""

import json
from collections import Counter
from typing import Any, Final

import pytest

from hack.cluster.poll import wait_until
from llmservice_api.names import LABEL_SERVICE
from tests.chaos.operator.rig import SOON, Rig
from tests.chaos.operator.state import hosts, ownerless
from tests.chaos.operator.workloads import SPEC, WORKLOADS, new_namespace, removed
from tests.integration.client import CHILDREN, Client, an_object, path
from tests.integration.services import SOURCE, Service

Json = dict[str, Any]

READY: Final = WORKLOADS["scale"]
"""Prepares a service `m` that is Ready."""


def test_one_that_a_foreign_finalizer_keeps_is_left_alone(site: Rig) -> None:
    namespace = new_namespace(site.client)
    READY.prepare(site.client, namespace)
    kept = ("llmservices", namespace, "m")
    site.client.merge(*kept, {"metadata": {"finalizers": ["example.com/kept"]}})
    site.client.delete(*kept)
    site.settle()
    logged = len(site.logged())
    for restart in (False, True):  # a restart first sees it when it is already deleting
        if restart:
            site.operator.kill()
            site.start()
        site.after_relists(3)
        found = site.client.find(*kept) or {}
        assert "deletionTimestamp" in found["metadata"]
        assert found["metadata"]["finalizers"] == ["example.com/kept"]
        assert site.logged()[logged:] == []
    site.client.merge(*kept, {"metadata": {"finalizers": None}})
    wait_until(lambda: site.client.find(*kept) is None, "it is gone", timeout=SOON)
    wait_until(lambda: ownerless(site.client, namespace) == [], "what it owned too", timeout=SOON)


def test_one_that_is_first_seen_deleting_gets_nothing(site: Rig) -> None:
    namespace = new_namespace(site.client)
    site.operator.kill()
    going = an_object("LLMService", "m", model=SOURCE)
    going["metadata"]["finalizers"] = ["example.com/kept"]
    site.client.create("llmservices", going, namespace)
    site.client.delete("llmservices", namespace, "m")
    site.start()
    other = Service(site.client, namespace, "n")
    other.says("Ready", "True", "Serving")
    assert "status" not in (site.client.find("llmservices", namespace, "m") or {})
    assert [name for name in site.client.names("rayservices", namespace) if name.startswith("m-")] == []
    site.client.merge("llmservices", namespace, "m", {"metadata": {"finalizers": None}})
    removed(site.client, READY, namespace)


def test_annotations_of_the_framework_are_nobodys_business(site: Rig) -> None:
    namespace = new_namespace(site.client)
    READY.prepare(site.client, namespace)
    service = ("llmservices", namespace, "m")
    corrupt = {
        "kopf.zalando.org/last-handled-configuration": '{"spec',
        "kopf.zalando.org/llmservices": "\x7f",
        "kopf.zalando.org/touch-dummy": "2099-01-01",
    }
    site.client.merge(*service, {"metadata": {"annotations": corrupt}})
    site.client.merge(*service, {"spec": {"replicas": 3}})
    wait_until(lambda: _least(site.client, namespace) == 3, "the edit is carried out", timeout=SOON)
    assert (site.client.find(*service) or {})["metadata"]["annotations"] == corrupt
    removed(site.client, READY, namespace)


def _least(client: Client, namespace: str) -> int:
    (revision,) = client.items("rayservices", namespace)
    config = json.loads(revision["spec"]["serveConfigV2"])
    return int(config["applications"][0]["deployments"][0]["autoscaling_config"]["min_replicas"])


@pytest.mark.parametrize("labels", [{}, {LABEL_SERVICE: "m"}], ids=["unlabelled", "labelled as ours"])
def test_a_child_with_a_forged_owner_is_never_taken(labels: dict[str, str], site: Rig) -> None:
    namespace = new_namespace(site.client)
    READY.prepare(site.client, namespace)
    (revision,) = site.client.names("services", namespace)
    removed(site.client, READY, namespace)
    wait_until(lambda: not any(site.client.names(plural, namespace) for plural in CHILDREN), "gone", timeout=SOON)
    other = Service(site.client, namespace, "n").obj["metadata"]
    owner = {"apiVersion": "llmservice.io/v1alpha1", "kind": "LLMService", "name": "n", "uid": other["uid"]}
    metadata = {"name": revision, "labels": labels, "ownerReferences": [owner]}
    forged = {"metadata": metadata, "spec": {"ports": [{"name": "other", "port": 80}]}}
    made = site.client.create("services", forged, namespace)
    service = Service(site.client, namespace, **SPEC)
    assert revision in service.says("Accepted", "False", "ChildNotOwned")
    site.settle()
    found = site.client.find("services", namespace, revision) or {}
    assert (found["spec"], found["metadata"]["uid"]) == (made["spec"], made["metadata"]["uid"])
    site.client.delete("services", namespace, revision)
    service.says("Ready", "True", "Serving", within=2 * SOON)
    removed(site.client, READY, namespace)


def test_a_namespace_that_ends_is_let_go(site: Rig) -> None:
    namespace = new_namespace(site.client)
    READY.prepare(site.client, namespace)
    kept = ("llmservices", namespace, "m")
    site.client.merge(*kept, {"metadata": {"finalizers": ["example.com/kept"]}})
    site.settle()
    begun = len(site.proxy.writes)
    site.client.delete("namespaces", "", namespace)
    wait_until(lambda: not any(site.client.names(each, namespace) for each in CHILDREN), "children go", timeout=SOON)
    site.settle()
    tried = Counter(str(call) for call in site.proxy.writes[begun:] if call.namespace == namespace)
    # What the namespace's end takes away one by one is each time made anew in vain; a loop would do so dozens of times.
    assert all(count <= 2 * len(CHILDREN) for count in tried.values()), tried
    site.client.merge(*kept, {"metadata": {"finalizers": None}})
    wait_until(lambda: site.client.get(path("namespaces", "", namespace)) is None, "it is gone", timeout=SOON)
    host = hosts(namespace)[0]
    assert not [each for each in site.client.items("ingresses") if host in json.dumps(each)]
