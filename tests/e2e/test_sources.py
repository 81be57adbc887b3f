"""A model from a real S3 server: refused, then let in, watched, and downloaded once for two replicas."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hack import model
from hack.cluster import machine, volumes
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps
from tests.e2e.site import ASK_AGAIN, READY_SECONDS, ROOM, Site, llmservice
from tests.integration import s3_server
from tests.integration.fetching import MIB
from tests.integration.relay import Relay, relayed
from tests.integration.s3_server import KEY, S3, SECRET

Json = dict[str, Any]

NAME, AHEAD, SECRET_NAME, CACHE = "fetched", "fetched-ahead", "s3-keys", "cache"
MODEL = model.SMOLLM2.name
COPY = "copy"
"""Another folder of the same files, which no service has fetched before."""
SOON = 120.0


@dataclass(frozen=True)
class Store:
    """The S3 server with the model, and the relay that pods go through."""

    s3: S3
    relay: Relay


@pytest.fixture(scope="module")
def store(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Where pods reach it; everything that was made for it goes with it."""
    with s3_server.running(tmp_path_factory.mktemp("s3"), machine.address()) as s3:
        files = {path.name: path.read_bytes() for path in model.ensure(Steps()).iterdir()}
        for where in (MODEL, COPY):
            s3.put("models", where, files)
        with relayed(s3.host, s3.port) as relay:
            folder = tmp_path_factory.mktemp("cache")
            site.api.apply(cache_volume(folder))
            yield Store(s3, relay)
            kinds = ("llm/" + NAME, "llm/" + AHEAD, "pvc/" + CACHE, "secret/" + SECRET_NAME)
            site.api.kubectl("delete", *kinds, "--namespace", ROOM, "--ignore-not-found")
            site.api.kubectl("delete", "pv", f"{CACHE}-{ROOM}", "--ignore-not-found")


def cache_volume(folder: Path) -> list[Json]:
    """A folder of this machine that pods may write, as the claim `cache`."""
    folder.chmod(0o777)
    renamed = json.dumps(volumes.objects(ROOM)).replace(str(volumes.folder()), str(folder))
    renamed = renamed.replace(f'"models-{ROOM}"', f'"{CACHE}-{ROOM}"').replace('"name": "models"', f'"name": "{CACHE}"')
    return list(json.loads(renamed))


def keys(secret: str) -> Json:
    """The Secret with the server's keys."""
    data = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": secret}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET_NAME}, "stringData": data}


def source(store: Store) -> Json:
    """What a model that is fetched through the relay into the cache says beside its address."""
    return {"endpoint": store.relay.url, "credentialsSecretRef": {"name": SECRET_NAME}, "cacheClaim": CACHE}


def gets(store: Store, where: str) -> int:
    """How often the weights in a folder were asked for."""
    return store.s3.gets(f"/models/{where}/model.safetensors")


def progress(site: Site, name: str = NAME) -> Json:
    """status.progress, empty while there is none."""
    return dict((site.service(ROOM, name) or {}).get("status", {}).get("progress") or {})


def pods_of(site: Site, name: str, kind: str) -> list[Json]:
    """A service's pods of the kind `head` or `worker`."""
    words = ("get", "pods", "--namespace", ROOM, "-l", f"llmservice.io/service={name},ray.io/node-type={kind}")
    return list(json.loads(site.api.kubectl(*words, "-o", "json"))["items"])


def fetchers(pods: list[Json]) -> list[Json]:
    """The states of the init containers that fetch."""
    found = [status for pod in pods for status in pod["status"].get("initContainerStatuses", [])]
    return [status["state"] for status in found if status["name"] == "fetch"]


def test_wrong_keys_are_said_and_right_ones_heal_and_two_replicas_download_once(site: Site, store: Store) -> None:
    site.apply(ROOM, keys("wrong"))
    spec = {"model": source(store), "replicas": 2, "rollout": {"drain": "15s"}}
    site.apply(ROOM, llmservice(NAME, source=f"s3://models/{MODEL}", **spec))
    _wait(lambda: _model_ready(site).get("reason") == "CredentialsRefused", "ModelReady says why")
    assert SECRET_NAME not in _model_ready(site)["message"]
    assert site.condition(ROOM, NAME, "Stalled")["reason"] == "CredentialsRefused"

    store.relay.hold_after = 100 * MIB
    site.apply(ROOM, keys(SECRET))
    _wait(lambda: progress(site).get("percent", 0) >= 30, "status tells of the download")
    shown = progress(site)
    assert (shown["phase"], shown["totalBytes"] > 200 * MIB) == ("Downloading", True)
    assert _model_ready(site)["reason"] == "Downloading"
    store.relay.hold_after = None
    store.relay.release.set()
    _wait(lambda: _are_done(fetchers(pods_of(site, NAME, "worker")), 2), "both pods have the model")
    assert gets(store, MODEL) == 1

    site.api.kubectl("patch", "llm", NAME, "--namespace", ROOM, "--type=merge", "--patch", '{"spec":{"replicas":1}}')
    _wait(lambda: site.condition(ROOM, NAME, "Ready").get("status") == "True", "Ready", READY_SECONDS)
    status = (site.service(ROOM, NAME) or {})["status"]
    assert status["model"]["digest"].startswith("sha256:")
    assert status["model"]["bytes"] > 200 * MIB
    assert "progress" not in status
    answer = site.client().chat.completions.create(
        model=NAME,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        max_tokens=24,
        temperature=0,
    )
    assert "Paris" in (answer.choices[0].message.content or "")


def test_a_head_fetches_ahead_and_workers_find_the_model_there(site: Site, store: Store) -> None:
    site.api.kubectl("delete", "llm", NAME, "--namespace", ROOM)  # its engine's place is needed
    store.relay.release.clear()
    store.relay.hold_after = 100 * MIB
    site.apply(ROOM, keys(SECRET))
    ahead = source(store) | {"prefetch": True}
    site.apply(ROOM, llmservice(AHEAD, source=f"s3://models/{COPY}", model=ahead, rollout={"drain": "15s"}))
    _wait(lambda: progress(site, AHEAD).get("percent", 0) >= 30, "status tells of the head's download")
    assert len(pods_of(site, AHEAD, "head")) == 1
    assert pods_of(site, AHEAD, "worker") == []
    store.relay.hold_after = None
    store.relay.release.set()
    _wait(lambda: site.condition(ROOM, AHEAD, "Ready").get("status") == "True", "Ready", READY_SECONDS)
    assert _are_done(fetchers(pods_of(site, AHEAD, "worker")), 1)
    assert gets(store, COPY) == 1
    _wait(lambda: _phases(site) == {"node", "image", "weights", "engine", "warmUp", "total"}, "all phases are told")


def _phases(site: Site) -> set[str]:
    return set((site.service(ROOM, AHEAD) or {})["status"].get("coldStartSeconds", {}))


def _model_ready(site: Site) -> Json:
    return site.condition(ROOM, NAME, "ModelReady")


def _are_done(states: list[Json], count: int) -> bool:
    return len(states) == count and all(state.get("terminated", {}).get("exitCode") == 0 for state in states)


def _wait(condition: Any, what: str, timeout: float = SOON) -> None:
    wait_until(condition, what, timeout=timeout, interval=ASK_AGAIN)
