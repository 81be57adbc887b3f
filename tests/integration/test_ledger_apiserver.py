"""The ledger against a real API server, with the rights that the chart gives it and tokens that the server made."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from hack.cluster.cache import REPOSITORY
from hack.cluster.control_plane import ControlPlane
from tests.eventually import eventually
from tests.integration.ledger_stack import LedgerProcess
from tests.unit.chart.rendering import render
from tests.unit.gateway.ledger.builders import KEY, Json, usage

CRDS = REPOSITORY / "charts" / "llmservice" / "files" / "crds"
NAMESPACE = "llmservice-system"
GROUP = {"apiVersion": "llmservice.io/v1alpha1"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    role = render("ledger.enabled=true").get("ClusterRole", f"llmservice:{NAMESPACE}:ledger")
    authorization = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    binding = authorization | {
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "ledger"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role["metadata"]["name"]},
        "subjects": [{"kind": "User", "name": "ledger", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    with ControlPlane() as cluster:
        cluster.apply([yaml.safe_load(file.read_text()) for file in sorted(CRDS.glob("*.yaml"))])
        cluster.apply([role, binding])
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        for namespace, account in ((NAMESPACE, "gateway"), ("team-a", "worker")):
            cluster.kubectl("create", "namespace", namespace)
            cluster.kubectl("create", "serviceaccount", account, "--namespace", namespace)
        yield cluster


@pytest.fixture
async def ledger(cluster: ControlPlane, tmp_path: Path) -> AsyncIterator[LedgerProcess]:
    ledger = LedgerProcess(cluster.user("ledger"), tmp_path, {})
    try:
        await ledger.start()
        yield ledger
    finally:
        await ledger.kill()


async def test_real_tokens_are_reviewed_and_a_real_budgets_status_is_written(
    cluster: ControlPlane, ledger: LedgerProcess
) -> None:
    metadata = {"namespace": "team-a"}
    key = GROUP | {"kind": "APIKey", "metadata": metadata | {"name": "app"}, "spec": {"budgetRef": {"name": "daily"}}}
    budget = {"kind": "Budget", "metadata": metadata | {"name": "daily"}, "spec": {"window": "Day", "tokens": 1000}}
    service = {"kind": "LLMService", "metadata": metadata | {"name": "llama"}}
    service["spec"] = {"model": {"source": "pvc://models/llama"}}
    cluster.apply([key, GROUP | budget, GROUP | service])
    issued = json.dumps({"status": {"id": KEY, "digest": "0" * 64, "secretName": "app"}})
    in_room = ("--namespace", "team-a")
    cluster.kubectl(*in_room, "patch", "apikey", "app", "--subresource=status", "--type=merge", "-p", issued)
    await eventually(lambda: "Ready" in conditions(cluster), 30, 0.2)
    worker, gateway = token(cluster, "team-a", "worker"), token(cluster, NAMESPACE, "gateway")
    plain = cluster.kubectl(*in_room, "create", "token", "worker").strip()
    event = usage(datetime.now(UTC).isoformat(), prompt_tokens=1000, cached_tokens=0, completion_tokens=0)
    assert (await post(ledger, "events", {"events": [event]}, plain))[0] == 401
    await eventually(lambda: taken(ledger, event, worker), 30, 0.2)
    assert await post(ledger, "events", {"events": [event]}, worker) == (200, {"stored": 0, "known": 1})
    assert (await post(ledger, "sync", {"gateway": "a"}, worker))[0] == 403
    status, told = await post(ledger, "sync", {"gateway": "a"}, gateway)
    assert (status, told["blocks"][KEY]["budget"]) == (200, "daily")
    await eventually(lambda: reasons(cluster) == {"BudgetNearlySpent", "BudgetSpent"}, 30, 0.2)
    # The status was written when the Budget was made, and is at most once a minute.
    await eventually(lambda: conditions(cluster).get("Spent") == "True", 90, 0.5)
    found = said(cluster)
    assert (found["percent"], found["used"]["tokens"], found["observedGeneration"]) == (100, 1000, 1)
    assert '"level": "warning"' not in ledger.log()


async def taken(ledger: LedgerProcess, event: Json, bearer: str) -> bool:
    """Whether the ledger stores the event; it does once it has heard of its key and service."""
    status, said = await post(ledger, "events", {"events": [event]}, bearer)
    assert status == 200 or said["error"]["code"] == "not_known_yet"
    return status == 200


def token(cluster: ControlPlane, namespace: str, account: str) -> str:
    words = ("--namespace", namespace, "create", "token", account, "--audience=llmservice-ledger")
    return cluster.kubectl(*words).strip()


def said(cluster: ControlPlane) -> Json:
    found: Any = json.loads(cluster.kubectl("--namespace", "team-a", "get", "budget", "daily", "-o", "json"))
    return dict(found.get("status") or {})


def conditions(cluster: ControlPlane) -> dict[str, str]:
    return {each["type"]: each["status"] for each in said(cluster).get("conditions", [])}


def reasons(cluster: ControlPlane) -> set[str]:
    found = json.loads(cluster.kubectl("--namespace", "team-a", "get", "events", "-o", "json"))["items"]
    return {each["reason"] for each in found if each["involvedObject"]["name"] == "daily"}


async def post(ledger: LedgerProcess, what: str, body: Json, bearer: str) -> tuple[int, Json]:
    headers = {"authorization": f"Bearer {bearer}"}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{ledger.url}/v1/{what}", json=body, headers=headers) as answer:
            return answer.status, await answer.json()
