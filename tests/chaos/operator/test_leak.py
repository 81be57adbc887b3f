"""Services made and deleted leave nothing in etcd, also those that were deleted while the operator was away."""

import os
from collections import Counter
from typing import Final

from hack.cluster.poll import wait_until
from llmservice_operator.resources.ingress import ingress_name
from tests.chaos.operator.etcd import keys
from tests.chaos.operator.rig import SOON, Rig
from tests.chaos.operator.state import hosts
from tests.chaos.operator.workloads import SPEC, endpoint, new_namespace
from tests.integration.services import Service

CYCLES: Final = 500 if os.environ.get("LONG") else 20
AT_ONCE: Final = 10
AWAY_EVERY: Final = 5
"""Each so-manieth round is deleted while the operator is down."""


def test_cycles_of_making_and_deleting_leave_no_key_in_etcd(site: Rig) -> None:
    namespace = new_namespace(site.client)
    wait_until(lambda: _is_furnished(site, namespace), "the namespace has what every one has", timeout=SOON)
    site.settle()
    before = set(keys(site.plane))
    assert before
    for number in range(CYCLES // AT_ONCE):
        _cycle(site, namespace, f"r{number}", is_away=number % AWAY_EVERY == 1)
    wait_until(lambda: set(keys(site.plane)) <= before, "etcd is as it was", timeout=2 * SOON, interval=1)
    site.settle()
    assert sorted(set(keys(site.plane)) - before) == []


def _cycle(site: Rig, namespace: str, prefix: str, *, is_away: bool) -> None:
    names = [f"{prefix}-{index}" for index in range(AT_ONCE)]
    services = [Service(site.client, namespace, name, **SPEC) for name in names[1:]]
    services.append(Service(site.client, namespace, names[0], **SPEC, endpoint=endpoint(hosts(namespace)[0])))
    goal = Counter(rayservices=AT_ONCE, ingresses=1)
    wait_until(lambda: _made(site, namespace) >= goal, "all children are made", timeout=2 * SOON)
    if is_away:
        site.operator.kill()
    for service in services:
        site.client.delete(*service.ref)
    if is_away:
        assert not site.operator.is_running
        wait_until(lambda: not site.client.names("llmservices", namespace), "they are gone", timeout=SOON)
        site.start()
    wait_until(lambda: not _made(site, namespace), "all children are gone", timeout=2 * SOON)


def _made(site: Rig, namespace: str) -> Counter[str]:
    parts = {"rayservices": f"/rayservices/{namespace}/", "ingresses": f"/{ingress_name(hosts(namespace)[0])}"}
    there = keys(site.plane)
    return +Counter({kind: sum(part in key for key in there) for kind, part in parts.items()})


def _is_furnished(site: Rig, namespace: str) -> bool:
    furniture = (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt"))
    return all(site.client.find(plural, namespace, name) for plural, name in furniture)
