"""Scaling on a real API server: schedules, hibernation and the scale subresource; KubeRay's part is the test's."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes
from kubernetes import config

from hack.cluster.control_plane import ControlPlane
from hack.cluster.poll import wait_until
from llmservice_api.names import labels
from llmservice_gateway import objects
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.waker import KubernetesWriter, Waker
from llmservice_operator.observed import rfc3339
from tests.eventually import eventually
from tests.integration.client import Client, Refused, an_object, path
from tests.integration.operator_run import operator
from tests.integration.services import SOON, SOURCE, Service, serving

Json = dict[str, Any]
WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri"]
EVERY = [*WEEKDAYS, "Sat", "Sun"]


def a_schedule(days: list[str], start: str, end: str, **more: Any) -> Json:
    return {"days": days, "start": start, "end": end, "timezone": "Europe/Berlin", "minReplicas": 2} | more


def attempt(client: Client, **scaling: Any) -> None:
    """Create for trial only."""
    hold = scaling.pop("hold", {})
    spec = {"model": SOURCE, "hold": hold, "scaling": {"maxReplicas": 3} | scaling}
    client.create("llmservices", an_object("LLMService", "m", **spec), "default", trial=True)


TAKEN: dict[str, list[Json]] = {
    "office hours": [a_schedule(WEEKDAYS, "08:00", "18:00")],
    "one after the other": [a_schedule(WEEKDAYS, "08:00", "18:00"), a_schedule(WEEKDAYS, "18:00", "08:00")],
    "nights into the next day": [a_schedule(["Fri"], "22:00", "06:00"), a_schedule(["Sat"], "06:00", "22:00")],
    "into the next week": [a_schedule(["Sun"], "22:00", "06:00"), a_schedule(["Mon"], "06:00", "07:00")],
    "all day, every day": [a_schedule(EVERY, "00:00", "00:00")],
    "as many as there may be": [a_schedule(EVERY, f"{hour:02}:00", f"{hour:02}:59") for hour in range(8)],
}


@pytest.mark.parametrize("schedules", TAKEN.values(), ids=TAKEN)
def test_schedules_that_do_not_overlap_are_taken(schedules: list[Json], client: Client) -> None:
    attempt(client, schedules=schedules)


OVERLAP = "schedules overlap"
REFUSED: dict[str, tuple[list[Json], str]] = {
    "twice the same": ([a_schedule(["Mon"], "08:00", "18:00")] * 2, OVERLAP),
    "one within the other": (
        [a_schedule(["Mon"], "08:00", "18:00"), a_schedule(["Mon", "Tue"], "09:00", "10:00")],
        OVERLAP,
    ),
    "a minute": ([a_schedule(["Mon"], "08:00", "18:01"), a_schedule(["Mon"], "18:00", "19:00")], OVERLAP),
    "a night into a day": ([a_schedule(["Fri"], "22:00", "06:00"), a_schedule(["Sat"], "05:59", "08:00")], OVERLAP),
    "the week's end": ([a_schedule(["Sun"], "22:00", "06:00"), a_schedule(["Mon"], "00:00", "01:00")], OVERLAP),
    "a whole day": ([a_schedule(["Mon"], "00:00", "00:00"), a_schedule(["Mon"], "12:00", "13:00")], OVERLAP),
    "two time zones": (
        [a_schedule(["Mon"], "08:00", "09:00"), a_schedule(["Tue"], "08:00", "09:00", timezone="UTC")],
        "different time zones",
    ),
    "over maxReplicas": ([a_schedule(["Mon"], "08:00", "09:00", minReplicas=4)], "a schedule's minReplicas is over"),
    "no such hour": ([a_schedule(["Mon"], "24:00", "09:00")], "spec.scaling.schedules[0].start"),
    "no such day": ([a_schedule(["Monday"], "08:00", "09:00")], "spec.scaling.schedules[0].days[0]"),
    "no day": ([a_schedule([], "08:00", "09:00")], "spec.scaling.schedules[0].days"),
    "a floor of none": ([a_schedule(["Mon"], "08:00", "09:00", minReplicas=0)], "schedules[0].minReplicas"),
}


@pytest.mark.parametrize(("schedules", "text"), REFUSED.values(), ids=REFUSED)
def test_bad_schedules_are_refused_with_their_path(schedules: list[Json], text: str, client: Client) -> None:
    with pytest.raises(Refused) as refused:
        attempt(client, schedules=schedules)
    assert refused.value.status == 422
    assert text in str(refused.value)


@pytest.mark.parametrize(
    ("scaling", "text"),
    [
        ({"minReplicas": 1, "hibernateAfter": "1h"}, "hibernateAfter goes with minReplicas 0"),
        ({"minReplicas": 0, "hibernateAfter": "1h", "hold": {"maxRequests": 0}}, "hibernateAfter needs hold"),
    ],
)
def test_what_could_never_hibernate_or_never_come_back_is_refused(scaling: Json, text: str, client: Client) -> None:
    with pytest.raises(Refused, match=text):
        attempt(client, **scaling)


def test_hibernation_is_an_option(client: Client) -> None:
    attempt(client, minReplicas=0, hibernateAfter="1h")


@pytest.mark.usefixtures("cpu_pool")
def test_a_service_hibernates_stays_so_over_a_restart_and_comes_back_by_a_wake(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    sleepy = {"minReplicas": 0, "maxReplicas": 1, "idleAfter": "1h"}
    with operator(control_plane, tmp_path):
        service, revision = serving(client, namespace, scaling=sleepy)
        address = service.status["address"]
        service.edit(scaling=sleepy | {"hibernateAfter": "1s"})
        service.says("Ready", "True", "Hibernated")
        wait_until(lambda: service.revisions == [], "the RayService is gone", timeout=SOON)
        assert client.names("services", namespace) == [revision]
    with operator(control_plane, tmp_path, relist_seconds=1) as second:
        second.after_relists(3)
        assert second.writes() == []
        assert (service.revisions, service.status["address"]) == ([], address)
        client.merge(*service.ref, {"status": {"wakeRequestedAt": rfc3339(datetime.now(UTC))}}, "status")
        assert service.revision() == revision
        assert (least(client, namespace, revision), service.status["address"]) == (1, address)
        service.comes_up(revision)
        service.says("Ready", "True", "Serving")
        assert service.revisions == [revision]


@pytest.mark.usefixtures("cpu_pool")
async def test_a_wake_brings_what_two_gateways_hold_together_and_only_grows(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    """What gateways write by their own client, each to its entry, is added up by the operator."""
    sleepy = {"minReplicas": 0, "maxReplicas": 4, "targetQueueDepth": 4, "idleAfter": "1h"}
    now = [float(int(time.time()))]
    with config.new_client_from_config(str(control_plane.kubeconfig)) as api, operator(control_plane, tmp_path):
        service, revision = serving(client, namespace, scaling=sleepy)
        writer = KubernetesWriter(kubernetes.CustomObjectsApi(api))
        wakers = {name: Waker(writer, name, Metrics(), lambda: now[0]) for name in ("gw-a", "gw-b")}

        async def woken(name: str, held: int, wanted: int) -> None:
            seen = objects.service(service.obj)
            assert seen is not None
            wakers[name].wake(replace(seen, replicas=0), held)
            at = rfc3339(datetime.fromtimestamp(now[0], UTC))
            await eventually(lambda: service.status.get("wakes", {}).get(name, {}).get("requestedAt") == at, SOON)
            await eventually(lambda: least(client, namespace, revision) == wanted, SOON)

        await woken("gw-a", 3, 1)
        await woken("gw-b", 6, 3)
        now[0] += 2
        await woken("gw-a", 9, 4)
        now[0] += 20
        await woken("gw-a", 1, 4)
        assert {name: each["requests"] for name, each in service.status["wakes"].items()} == {"gw-a": 9, "gw-b": 6}
        assert service.revisions == [revision]


@pytest.mark.usefixtures("cpu_pool")
def test_a_schedule_that_holds_raises_the_lower_bound_of_the_same_revision(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    with operator(control_plane, tmp_path):
        service, revision = serving(client, namespace, scaling={"minReplicas": 1, "maxReplicas": 4})
        always = a_schedule(EVERY, "00:00", "00:00")
        service.edit(scaling={"schedules": [always]})
        wait_until(lambda: service.status["desiredReplicas"] == 2, "the floor holds", timeout=SOON)
        assert (least(client, namespace, revision), service.revisions) == (2, [revision])
        service.edit(scaling={"schedules": [always | {"timezone": "Europe/Berln"}]})
        said = service.says("Accepted", "False", "InvalidSpec")
        assert said.startswith("spec.scaling.schedules.0.timezone: ")
        assert "Europe/Berln is no time zone" in said


@pytest.mark.usefixtures("cpu_pool")
def test_a_decision_of_the_rule_is_asked_of_a_replica_written_once_and_then_no_more(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    said = {"from": 1, "to": 2, "cause": "Rate", "reason": "up to 2: 3.1 requests/s", "at": time.time()}
    with operator(control_plane, tmp_path, relist_seconds=1) as running:
        running.tokens.replica_answer = {"scaling": said}
        service, revision = serving(client, namespace, scaling={"minReplicas": 1, "maxReplicas": 4})
        for number in (1, 2):
            a_ready_worker(client, namespace, revision, f"10.0.0.{number}")
        wait_until(lambda: "scaling" in service.status, "the decision is told", timeout=SOON)
        told = service.status["scaling"]
        assert (told["fromReplicas"], told["toReplicas"], told["reason"]) == (1, 2, "Rate")
        wait_until(lambda: service.status["replicas"] == 2, "both are seen", timeout=SOON)
        running.after_relists(2)
        settled, asked = len(running.writes()), len(running.tokens.asked)
        running.after_relists(4)
        assert (running.writes()[settled:], running.tokens.asked[asked:]) == ([], [])


def a_ready_worker(client: Client, namespace: str, revision: str, ip: str) -> None:
    """A worker pod as KubeRay would make it, which no kubelet knows."""
    marks = labels("m", "engine", revision) | {"ray.io/node-type": "worker"}
    name = f"worker-{ip.replace('.', '-')}"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": marks}}
    container = {"name": "ray-worker", "image": "none", "resources": {"requests": {"cpu": "1m"}}}
    spec = {"containers": [container], "automountServiceAccountToken": False, "nodeName": "none"}
    client.create("pods", pod | {"spec": spec}, namespace)
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(datetime.now(UTC))}
    status = {"conditions": [ready], "podIP": ip, "podIPs": [{"ip": ip}]}
    client.merge("pods", namespace, name, {"status": status}, "status")


@pytest.mark.usefixtures("cpu_pool")
def test_a_head_that_prefetches_is_taken_and_no_worker_is_asked_for(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}}
    room = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    client.create("persistentvolumeclaims", claim | {"spec": room}, namespace)
    with operator(control_plane, tmp_path):
        service = Service(client, namespace, model=SOURCE | {"cacheClaim": "models", "prefetch": True}, replicas=2)
        made = client.find("rayservices", namespace, service.revision()) or {}
        cluster = made["spec"]["rayClusterConfig"]
        (fetch,) = cluster["headGroupSpec"]["template"]["spec"]["initContainers"]
        assert {"name": "models-cache", "mountPath": "/cache/models"} in fetch["volumeMounts"]
        assert cluster["workerGroupSpecs"][0]["replicas"] == 0


@pytest.mark.usefixtures("cpu_pool")
def test_the_scale_subresource_is_what_an_autoscaler_from_outside_reads_and_writes(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    with operator(control_plane, tmp_path):
        service, revision = serving(client, namespace, replicas=1)
        where = f"{path(service.ref[0], namespace, service.name)}/scale"
        seen = client.get(where) or {}
        wanted = f"llmservice.io/service=m,ray.io/node-type=worker,llmservice.io/revision={revision}"
        assert (seen["spec"]["replicas"], seen["status"]["selector"]) == (1, wanted)
        client.merge(*service.ref, {"spec": {"replicas": 3}}, "scale")
        wait_until(lambda: least(client, namespace, revision) == 3, "three are wanted", timeout=SOON)
        budget = client.find("poddisruptionbudgets", namespace, "m") or {}
        assert (budget["spec"]["minAvailable"], service.revisions) == (2, [revision])
        automatic = Service(client, namespace, "automatic", scaling={"maxReplicas": 2})
        with pytest.raises(Refused, match="replicas and scaling exclude each other"):
            client.merge(*automatic.ref, {"spec": {"replicas": 3}}, "scale")


@pytest.mark.usefixtures("cpu_pool")
def test_from_the_rule_to_a_count_by_hand_and_back_as_documented(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    where = ("-n", namespace, "llm")
    with operator(control_plane, tmp_path):
        service, revision = serving(client, namespace, scaling={"minReplicas": 1, "maxReplicas": 6})
        by_hand = '{"spec":{"scaling":null,"replicas":1}}'
        control_plane.kubectl("patch", *where, "m", "--type=merge", "-p", by_hand)
        said = control_plane.kubectl("scale", "-n", namespace, "llm/m", "--replicas=3")
        assert said.strip() == "llmservice.llmservice.io/m scaled"
        wait_until(lambda: least(client, namespace, revision) == 3, "three are wanted", timeout=SOON)
        by_rule = '{"spec":{"replicas":null,"scaling":{"minReplicas":1,"maxReplicas":6}}}'
        control_plane.kubectl("patch", *where, "m", "--type=merge", "-p", by_rule)
        wait_until(lambda: least(client, namespace, revision) == 1, "the rule decides again", timeout=SOON)
        assert service.revisions == [revision]


@pytest.mark.usefixtures("cpu_pool")
def test_a_horizontal_pod_autoscaler_scales_it(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    """The cluster's own, on its own controller: more than its maximum is set back without any metric."""
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "m", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "llmservice.io/v1alpha1", "kind": "LLMService", "name": "m"},
            "maxReplicas": 2,
        },
    }
    with operator(control_plane, tmp_path):
        service, revision = serving(client, namespace, replicas=3)
        control_plane.apply([autoscaler])
        wait_until(lambda: service.obj["spec"]["replicas"] == 2, "it has scaled", timeout=120)
        wait_until(lambda: least(client, namespace, revision) == 2, "two are wanted", timeout=SOON)
        assert service.revisions == [revision]


def least(client: Client, namespace: str, revision: str) -> int:
    """The lower bound that Ray Serve is told."""
    config = json.loads((client.find("rayservices", namespace, revision) or {})["spec"]["serveConfigV2"])
    return int(config["applications"][0]["deployments"][0]["autoscaling_config"]["min_replicas"])
