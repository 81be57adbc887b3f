"""Edits, broken children, bad sources."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import openai

from hack.cluster.poll import wait_until
from tests.e2e.site import ASK_AGAIN, READY_SECONDS, ROOM, SERVICE, Site, llmservice, ready_service, wait_ready


class Asker:
    """Asks for a few tokens again and again, and counts."""

    def __init__(self, client: openai.OpenAI) -> None:
        self._client = client
        self._stop = threading.Event()
        self.answered = 0
        self.lost: list[str] = []

    def __call__(self) -> None:
        while not self._stop.is_set():
            try:
                self._client.chat.completions.create(
                    model=SERVICE, messages=[{"role": "user", "content": "Count to ten."}], max_tokens=16
                )
                self.answered += 1
            except openai.OpenAIError as error:
                self.lost.append(str(error))

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def asking(site: Site, count: int) -> Iterator[list[Asker]]:
    """Several threads that ask while the body runs; all have ended after it."""
    askers = [Asker(site.client()) for _ in range(count)]
    threads = [threading.Thread(target=asker) for asker in askers]
    for thread in threads:
        thread.start()
    try:
        yield askers
    finally:
        for asker in askers:
            asker.stop()
        for thread in threads:
            thread.join()


def test_an_edit_brings_a_revision_beside_the_old_and_loses_no_request(served: Site) -> None:
    before = ready_service(served, ROOM, SERVICE)["status"]["revision"]["active"]
    with asking(served, 2) as askers:
        served.apply(
            ROOM,
            llmservice(
                SERVICE,
                model={"aliases": ["gpt-4o-mini"]},
                rollout={"drain": "15s"},
                engine={"maxModelLen": 1024, "args": {"enforceEager": True}},
            ),
        )
        wait_until(lambda: len(_revisions(served)) == 2, "two revisions side by side", timeout=60, interval=ASK_AGAIN)
        wait_until(
            lambda: _revision(served).get("active") not in (None, before),
            "the new revision is active",
            timeout=READY_SECONDS,
            interval=ASK_AGAIN,
        )
        wait_until(lambda: len(_revisions(served)) == 1, "the old revision is gone", timeout=120, interval=ASK_AGAIN)
    assert [error for asker in askers for error in asker.lost] == []
    assert sum(asker.answered for asker in askers) > 10
    assert _revisions(served) == [_revision(served)["active"]]


def test_bounds_change_without_a_new_revision(served: Site) -> None:
    before = wait_ready(served, ROOM, SERVICE)["status"]["revision"]["active"]
    bounds = '{"spec":{"scaling":{"minReplicas":1,"maxReplicas":2,"targetQueueDepth":100}}}'
    served.api.kubectl("patch", "llm", SERVICE, "--namespace", ROOM, "--type=merge", "--patch", bounds)
    after = wait_ready(served, ROOM, SERVICE)
    assert after["status"]["revision"]["active"] == before
    assert _revisions(served) == [before]
    path = f"/apis/ray.io/v1/namespaces/{ROOM}/rayservices/{before}"
    wait_until(
        lambda: '"max_replicas":2' in (served.api.get(path) or {})["spec"]["serveConfigV2"],
        "the running revision has the new bounds",
        timeout=30,
        interval=ASK_AGAIN,
    )


def test_a_deleted_child_comes_back(served: Site) -> None:
    name = wait_ready(served, ROOM, SERVICE)["metadata"]["name"]
    path = f"/apis/networking.k8s.io/v1/namespaces/{ROOM}/networkpolicies/{name}"
    first = served.api.get(path)
    assert first is not None
    served.api.kubectl("delete", "networkpolicy", name, "--namespace", ROOM)
    wait_until(
        lambda: (served.api.get(path) or first)["metadata"]["uid"] != first["metadata"]["uid"],
        "back",
        timeout=30,
        interval=ASK_AGAIN,
    )


def test_a_path_without_a_model_is_said(served: Site) -> None:
    served.apply(ROOM, llmservice("nowhere", source="pvc://models/no-such-model"))
    try:
        wait_until(
            lambda: served.condition(ROOM, "nowhere", "EngineReady").get("reason") == "EngineFailed",
            "EngineReady says why",
            timeout=READY_SECONDS,
            interval=ASK_AGAIN,
        )
        message = served.condition(ROOM, "nowhere", "EngineReady")["message"]
        assert "pvc://models/no-such-model" in message
        assert "see root cause above" not in message
        assert served.condition(ROOM, "nowhere", "ModelReady")["reason"] == "ModelUnreadable"
        assert served.condition(ROOM, "nowhere", "Ready")["status"] == "False"
    finally:
        served.api.kubectl("delete", "llm", "nowhere", "--namespace", ROOM)


def test_a_claim_that_is_missing_is_said(served: Site) -> None:
    served.apply(ROOM, llmservice("unclaimed", source="pvc://no-such-claim/model"))
    try:
        wait_until(
            lambda: served.condition(ROOM, "unclaimed", "ModelReady").get("reason") == "ClaimMissing",
            "ModelReady says why",
            timeout=30,
            interval=ASK_AGAIN,
        )
        assert served.children(ROOM, "unclaimed") == []
    finally:
        served.api.kubectl("delete", "llm", "unclaimed", "--namespace", ROOM)


def test_helm_test_gets_a_completion(served: Site) -> None:
    from hack.helm import NAMESPACE, RELEASE, helm

    wait_ready(served, ROOM, SERVICE)
    said = helm("test", RELEASE, "--logs", f"--namespace={NAMESPACE}", kubeconfig=served.kubeconfig)
    assert "Succeeded" in said
    assert "/v1/chat/completions: 200" in said
    assert " tokens): " in said


def _revision(site: Site) -> dict[str, str]:
    found = site.service(ROOM, SERVICE) or {}
    return dict(found.get("status", {}).get("revision", {}))


def _revisions(site: Site) -> list[str]:
    listed = site.api.kubectl(
        "get", "rayservices", "--namespace", ROOM, "-l", f"llmservice.io/service={SERVICE}", "-o", "name"
    )
    return [line.removeprefix("rayservice.ray.io/") for line in listed.split()]
