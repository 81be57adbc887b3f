"""The demo: a real cluster, the chart, a real model, and the openai client's answer through the Ingress.

`python -m hack.demo up | env | down`. `up` can be called again at any time and does only what is missing.
"""

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from openai import APIError, OpenAI
from rich.console import Console
from rich.markup import escape

from hack import evidence, install, model
from hack.cluster import full
from hack.cluster.failure import ClusterError, tail
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps

NAMESPACE = "demo"
SERVICE = "smollm2"
KEY = "demo"
QUESTION = "What is the capital of France? Answer in one sentence."
READY_SECONDS = 600.0
LOG_LINES = 60


@dataclass(frozen=True)
class Endpoint:
    """What an OpenAI client needs."""

    base_url: str
    api_key: str
    model: str


def up(steps: Steps, out: Console) -> None:
    """Everything, from nothing to the model's answer."""
    begun = time.monotonic()
    kubeconfig = full.up(steps)
    images = install.load_images(steps)
    with steps.step("llmservice installed by its chart"), _shown(lambda: evidence.of_installation(kubeconfig)):
        install.install(kubeconfig, images, f"http://{full.address()}", steps=steps)
    _prepare_model(kubeconfig, steps)
    with steps.step("LLMService, GPUPool and APIKey applied"):
        apply(kubeconfig, images.worker)
        install.issued_key(kubeconfig, NAMESPACE, KEY)
    with steps.step("LLMService Ready"), _shown(lambda: evidence.of_service(kubeconfig, NAMESPACE, SERVICE)):
        wait_ready(kubeconfig, steps)
    endpoint = found_endpoint(kubeconfig)
    answer_seconds = ask(endpoint, out)
    steps.say(f"[dim]answered in {answer_seconds:.1f} s; the whole took {time.monotonic() - begun:.0f} s[/dim]")
    out.print(how_to_go_on(endpoint), highlight=False, soft_wrap=True)


def _prepare_model(kubeconfig: Path, steps: Steps) -> None:
    """The model in the claim `models` of the demo's namespace."""
    prepared = model.ensure(steps)
    with steps.step("model in its volume"):
        install.place_model(prepared, install.make_room(kubeconfig, NAMESPACE))


@contextlib.contextmanager
def _shown(gather: Callable[[], Path]) -> Iterator[None]:
    """A failure of the body shows what `gather` finds in the cluster."""
    try:
        yield
    except ClusterError as error:
        error.log = error.log or gather()
        raise


def apply(kubeconfig: Path, worker_image: str) -> None:
    """The sample LLMService, a pool with this cluster's worker image, and a key."""
    key = {"apiVersion": "llmservice.io/v1alpha1", "kind": "APIKey", "metadata": {"name": KEY}, "spec": {}}
    install.apply(kubeconfig, NAMESPACE, [install.cpu_pool(worker_image), key, *install.sample("minimal")])


def wait_ready(kubeconfig: Path, steps: Steps) -> None:
    """Wait for Ready and say what is going on meanwhile."""
    told = ""

    def ready() -> bool:
        nonlocal told
        service = install.llmservice(kubeconfig, NAMESPACE, SERVICE)
        found = install.condition(service, "Ready")
        line = install.condition(service, "Progressing").get("message") or found.get("message", "")
        if line not in ("", told) and found.get("status") != "True":
            steps.say(f"[dim]  {escape(line)}[/dim]")
        told = line
        if install.condition(service, "Stalled").get("status") == "True":
            raise ClusterError(f"the LLMService stalled: {line}")
        return found.get("status") == "True"

    wait_until(ready, f"LLMService {NAMESPACE}/{SERVICE} Ready", timeout=READY_SECONDS, interval=0.5)


def found_endpoint(kubeconfig: Path) -> Endpoint:
    """URL, key and model of the demo that is up."""
    service = install.llmservice(kubeconfig, NAMESPACE, SERVICE)
    if service is None:
        raise ClusterError("the demo is not up: run `make demo`")
    key = install.issued_key(kubeconfig, NAMESPACE, KEY)
    return Endpoint(key["OPENAI_BASE_URL"], key["OPENAI_API_KEY"], service["status"]["model"]["name"])


def ask(endpoint: Endpoint, out: Console) -> float:
    """Ask with the openai client, through the Ingress, and print the answer as it comes; returns seconds."""
    begun = time.monotonic()
    out.print(f"\n[bold]>[/bold] {QUESTION}")
    client = OpenAI(base_url=endpoint.base_url, api_key=endpoint.api_key, timeout=120)
    try:
        stream = client.chat.completions.create(
            model=endpoint.model,
            messages=[{"role": "user", "content": QUESTION}],
            max_tokens=64,
            temperature=0,
            stream=True,
        )
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                out.print(chunk.choices[0].delta.content, end="", markup=False, highlight=False, soft_wrap=True)
    except APIError as error:
        raise ClusterError(f"the endpoint {endpoint.base_url} did not answer: {error}") from error
    out.print("\n")
    return time.monotonic() - begun


def exports(kubeconfig: Path, endpoint: Endpoint) -> str:
    """Lines for a shell; kubectl of the cache is found where there is no other."""
    values = {
        "KUBECONFIG": str(kubeconfig),
        "OPENAI_BASE_URL": endpoint.base_url,
        "OPENAI_API_KEY": endpoint.api_key,
        "LLM_MODEL": endpoint.model,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join([*lines, f'export PATH="$PATH:{full.PROGRAMS}"'])


def how_to_go_on(endpoint: Endpoint) -> str:
    """What to try next; the key stays out of it."""
    return f"""\
The cluster stays up. To go on:

  eval "$(make -s demo-env)"          # KUBECONFIG, OPENAI_BASE_URL, OPENAI_API_KEY, LLM_MODEL
  curl $OPENAI_BASE_URL/chat/completions -H "Authorization: Bearer $OPENAI_API_KEY" \\
    -H 'Content-Type: application/json' \\
    -d '{{"model": "{endpoint.model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
  kubectl get llm -n {NAMESPACE}
  kubectl describe llm {SERVICE} -n {NAMESPACE}
  kubectl delete llm {SERVICE} -n {NAMESPACE}
  make demo-down                      # ends the cluster; what was built stays cached"""


def env(out: Console) -> None:
    """Print shell exports."""
    if not full.running():
        raise ClusterError("the demo is not up: run `make demo`")
    out.out(exports(full.KUBECONFIG, found_endpoint(full.KUBECONFIG)), highlight=False)


def main(words: list[str]) -> int:
    steps, out = Steps(), Console()
    verbs = {"up": lambda: up(steps, out), "env": lambda: env(out), "down": lambda: full.down(steps)}
    if len(words) != 1 or words[0] not in verbs:
        print(f"usage: python -m hack.demo {' | '.join(verbs)}", file=sys.stderr)
        return 2
    try:
        verbs[words[0]]()
    except ClusterError as error:
        if error.log and (last := tail(error.log, LOG_LINES)):
            steps.say(f"[dim]── last lines of {error.log}[/dim]")
            print(last, file=sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
