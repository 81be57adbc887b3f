"""The gateway against a real apiserver, with no more rights than it needs."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from hack.cluster.cache import REPOSITORY
from hack.cluster.control_plane import ControlPlane
from llmservice_gateway.kube import KubernetesSource
from tests.eventually import eventually
from tests.integration.gateway_stack import Stack, running
from tests.unit.gateway.builders import PEPPER, apikey, llmservice, secret_key

CRDS = REPOSITORY / "charts" / "llmservice" / "files" / "crds"
USER = "gateway"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    rule = {"apiGroups": ["llmservice.io"], "resources": ["llmservices", "apikeys"], "verbs": ["list", "watch"]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": USER}}
    binding = role | {
        "kind": "ClusterRoleBinding",
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER},
        "subjects": [{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    with ControlPlane() as cluster:
        cluster.apply([yaml.safe_load(file.read_text()) for file in sorted(CRDS.glob("*.yaml"))])
        cluster.apply([role | {"rules": [rule]}, binding])
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        cluster.kubectl("create", "namespace", "team-a")
        yield cluster


@pytest.fixture
async def stack(cluster: ControlPlane) -> AsyncIterator[Stack]:
    with _client(cluster.user(USER)) as api:
        source = KubernetesSource(client.CustomObjectsApi(api), 300, lambda: None)
        async with running(cluster=source) as stack:
            yield stack


async def test_what_is_applied_answers_and_what_is_deleted_does_not(cluster: ControlPlane, stack: Stack) -> None:
    key = secret_key(1)
    put(cluster, "LLMService", llmservice("llama", address=stack.upstream.address))
    put(cluster, "APIKey", apikey(1))
    await until(stack, key, 200)
    kubectl(cluster, "delete", "apikey", "key-1")
    await until(stack, key, 401)
    put(cluster, "APIKey", apikey(2))
    await until(stack, secret_key(2), 200)
    kubectl(cluster, "delete", "llmservice", "llama")
    await until(stack, secret_key(2), 404)
    assert (await stack.post(f"/team-a/llama{CHAT}", {}, PEPPER.probe_key())).status == 404


def put(cluster: ControlPlane, kind: str, raw: Any) -> None:
    """Creates the object, then says its status as the operator would."""
    head = {"apiVersion": "llmservice.io/v1alpha1", "kind": kind}
    metadata = {"name": raw["metadata"]["name"], "namespace": "team-a"}
    spec = {name: value for name, value in raw["spec"].items() if name != "fieldOfTomorrow"}
    cluster.apply([head | {"metadata": metadata, "spec": spec}])
    patch = json.dumps({"status": raw["status"]})
    words = (kind.lower(), metadata["name"], "--subresource=status", "--type=merge", "-p", patch)
    kubectl(cluster, "patch", *words)


def kubectl(cluster: ControlPlane, *words: str) -> None:
    cluster.kubectl("--namespace", "team-a", *words)


async def until(stack: Stack, key: str, status: int) -> None:
    async def answered() -> bool:
        return (await stack.post(CHAT, {"model": "llama"}, key)).status == status

    await eventually(answered, every=0.02)


def _client(kubeconfig: Path) -> client.ApiClient:
    return config.new_client_from_config(str(kubeconfig))
