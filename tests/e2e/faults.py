"""What the tests of failures share: a service of two replicas, streams that are counted, and faults."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from hack.cluster.poll import wait_until
from tests.e2e.site import ASK_AGAIN, READY_SECONDS, Site, llmservice

Json = dict[str, Any]

ROOM = "failures"
TWINS = "twins"
PROCESSES = """
import os, signal, sys
name, number = sys.argv[1], int(sys.argv[2])
found = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        command = open(f"/proc/{pid}/cmdline").read()
    except OSError:
        continue
    if command.startswith(name):
        os.kill(int(pid), number)
        found.append(pid)
print(len(found))
"""
"""Signal the processes whose command begins with a name; the image has no pkill."""


@dataclass
class Answer:
    """One streamed chat, as its client saw it."""

    status: int = 0
    tokens: int = 0
    errors: list[str] = field(default_factory=list)
    after_error: int = 0
    done: bool = False
    broken: str = ""
    """Why the connection ended before its answer did."""

    @property
    def complete(self) -> bool:
        """Whether all of it came."""
        return self.status == 200 and self.done and not self.errors and not self.broken


class Stream:
    """A streamed chat in a thread of its own."""

    def __init__(self, url: str, key: str, tokens: int) -> None:
        self.answer = Answer()
        self._stop = threading.Event()
        self._request = (f"{url}/chat/completions", {"Authorization": f"Bearer {key}"}, chat(url, tokens))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def join(self) -> Answer:
        """The answer, once it has ended."""
        self._thread.join()
        return self.answer

    def hang_up(self) -> None:
        """The client goes."""
        self._stop.set()

    def _read(self) -> None:
        url, headers, body = self._request
        try:
            with httpx.stream("POST", url, headers=headers, json=body, timeout=300) as response:
                self.answer.status = response.status_code
                for line in response.iter_lines():
                    self._take(line)
                    if self._stop.is_set():
                        return
        except httpx.HTTPError as error:
            self.answer.broken = repr(error)

    def _take(self, line: str) -> None:
        if not line.startswith("data: "):
            return
        if self.answer.errors:
            self.answer.after_error += 1
        if line == "data: [DONE]":
            self.answer.done = True
        elif line.startswith('data: {"error"'):
            self.answer.errors.append(line)
        else:
            self.answer.tokens += 1


def chat(url: str, tokens: int, **more: Any) -> Json:
    """A request for so many tokens of the model at a base URL that ends with its name."""
    message = {"role": "user", "content": "Write a long story about a lighthouse."}
    name = url.split("/")[-2]
    return {"model": name, "messages": [message], "max_tokens": tokens, "stream": True, "ignore_eos": True, **more}


@dataclass
class Counted:
    """What became of plain requests."""

    answered: int = 0
    refused: list[str] = field(default_factory=list)


@contextmanager
def asking(url: str, key: str, threads: int = 1) -> Iterator[Counted]:
    """Plain requests, one after the other in each thread, while the body runs; all have ended after it."""
    counted, stop = Counted(), threading.Event()

    def ask() -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=300) as client:
            while not stop.is_set():
                _ask(client, url, counted)

    found = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in found:
        thread.start()
    try:
        yield counted
    finally:
        stop.set()
        for thread in found:
            thread.join()


def _ask(client: httpx.Client, url: str, counted: Counted) -> None:
    try:
        response = client.post(f"{url}/chat/completions", json=chat(url, 4, stream=False))
    except httpx.HTTPError as error:
        counted.refused.append(repr(error))
        return
    if response.status_code == 200:
        counted.answered += 1
    else:
        counted.refused.append(f"{response.status_code} {response.text[:200]}")


@dataclass(frozen=True)
class Service:
    """An LLMService under test."""

    site: Site
    name: str

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"{self.site.base_url}/{ROOM}/{self.name}/v1"

    @property
    def key(self) -> str:
        """A key that opens it."""
        return self.site.keys[ROOM]

    def stream(self, tokens: int) -> Stream:
        """A chat of so many tokens."""
        return Stream(self.url, self.key, tokens)

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message."""
        found = self.site.condition(ROOM, self.name, kind)
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    @property
    def status(self) -> Json:
        """Its status."""
        return dict((self.site.service(ROOM, self.name) or {})["status"])

    def pods(self, kind: str = "worker") -> list[Json]:
        """Its pods of a kind that are not about to go."""
        selector = f"llmservice.io/service={self.name},ray.io/node-type={kind}"
        listed = self.site.api.kubectl("get", "pods", "--namespace", ROOM, "-l", selector, "-o", "json")
        return [pod for pod in json.loads(listed)["items"] if "deletionTimestamp" not in pod["metadata"]]

    def inside(self, pod: str, *words: str) -> str:
        """Output of a command in a worker pod."""
        return str(self.site.api.kubectl("exec", "--namespace", ROOM, pod, "-c", "ray-worker", "--", *words))

    def signal_engine(self, pod: str, number: int) -> None:
        """Signal the engine's process, and prove that there was one."""
        assert int(self.inside(pod, "python", "-c", PROCESSES, "VLLM::EngineCore", str(number))) == 1

    def running(self, pod: str) -> int:
        """Requests that the engine of a ready pod works on, by its own metrics."""
        code = f"import urllib.request as r; print(r.urlopen({METRICS!r}, timeout=3).read().decode())"
        lines = self.inside(pod, "python", "-c", code).splitlines()
        (count,) = [line.rpartition(" ")[2] for line in lines if line.startswith("vllm:num_requests_running{")]
        return int(float(count))

    def busiest(self) -> str:
        """The worker pod whose engine has the most requests; at least one must have one."""
        names = [str(pod["metadata"]["name"]) for pod in self.pods() if is_ready(pod)]
        by_count = {name: self.running(name) for name in names}
        assert max(by_count.values()) > 0, by_count
        return max(by_count, key=lambda name: by_count[name])

    def wait(self, kind: str, status: str, timeout: float = READY_SECONDS) -> float:
        """Seconds until a condition has a status."""
        begun = time.monotonic()
        what = f"{kind} of {self.name} is {status}"
        wait_until(lambda: self.condition(kind)[0] == status, what, timeout=timeout, interval=ASK_AGAIN)
        return time.monotonic() - begun

    def wait_for_replicas(self, count: int) -> None:
        """Until so many engines answer: a worker pod is Ready while its engine does."""
        self.wait("Ready", "True")
        wait_until(
            lambda: [is_ready(pod) for pod in self.pods()] == [True] * count,
            f"{count} engines answer",
            timeout=READY_SECONDS,
            interval=2,
        )


def is_ready(pod: Json) -> bool:
    """Whether a pod is Ready."""
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"].get("conditions", []))


METRICS = "http://127.0.0.1:8090/metrics"


def twins(site: Site, **spec: Any) -> Service:
    """A service of two replicas, both of which answer."""
    wanted = {"replicas": 2, "rollout": {"drain": "5m"}, **spec}
    site.apply(ROOM, llmservice(TWINS, **wanted))
    service = Service(site, TWINS)
    service.wait_for_replicas(2)
    return service


def started(streams: Sequence[Stream], tokens: int = 3) -> None:
    """Until every stream has its first tokens."""
    what = "every stream has begun"
    wait_until(lambda: all(stream.answer.tokens >= tokens for stream in streams), what, timeout=120)
