"""Our gateway as a process of its own, with so many models and keys: what the benchmark starts.

`python -m tests.bench.gateway_ours --port 8080 --upstream 127.0.0.1:9000 --models 200 --keys 10000`; its standard
output is HAProxy's access log. With --kubeconfig its objects are those of that cluster.
"""

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any, Final

from kubernetes import client, config

from llmservice_gateway.kube import KubernetesSource
from llmservice_gateway.settings import Settings
from llmservice_gateway.source import KINDS, Listed
from tests.integration.gateway_stack import running
from tests.unit.gateway.builders import apikey, llmservice, secret_key

NAMESPACE: Final = "team-a"
LIMITS: Final = {"requestsPerMinute": 1_000_000_000, "tokensPerMinute": 1_000_000_000, "parallel": 10_000}
"""Of each key: counted like any other, never reached."""
FLOODER: Final = 10**6
"""The number of the one key whose limits are reached soon."""
KEY: Final = secret_key(0)
CONNECTIONS: Final = 4000
_RELIST: Final = 300


def service(number: int, upstream: str) -> Any:
    """The model `m<number>`."""
    return llmservice(f"m{number}", NAMESPACE, address=upstream)


def key(number: int) -> Any:
    """A key for every model of the namespace."""
    issued = apikey(number, NAMESPACE)
    issued["spec"]["limits"] = LIMITS
    return issued


def flooder() -> Any:
    """A key that may ask a little."""
    return apikey(FLOODER, NAMESPACE, limits={"requestsPerMinute": 60, "parallel": 4})


def main() -> None:
    """Runs until SIGTERM."""
    words = argparse.ArgumentParser()
    words.add_argument("--port", type=int, required=True)
    words.add_argument("--upstream", default="", help="ip:port of the models, where no cluster says it")
    words.add_argument("--models", type=int, default=1)
    words.add_argument("--keys", type=int, default=1)
    words.add_argument("--kubeconfig", type=Path)
    asyncio.run(_run(words.parse_args()))


async def _run(words: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    cluster = _cluster(words.kubeconfig) if words.kubeconfig else None
    fields = {"public_port": words.port, "max_connections": CONNECTIONS, "agent_niceness": Settings.agent_niceness}
    async with running(listed=False, cluster=cluster, **fields) as stack:
        if cluster is None:
            objects = {
                "llmservices": [service(number, words.upstream) for number in range(words.models)],
                "apikeys": [flooder(), *(key(number) for number in range(words.keys))],
            }
            for kind in KINDS:
                stack.source.queue.put_nowait(Listed(kind, objects.get(kind, [])))
        await stopped.wait()


def _cluster(kubeconfig: Path) -> KubernetesSource:
    api = client.CustomObjectsApi(config.new_client_from_config(str(kubeconfig)))
    return KubernetesSource(api, _RELIST, lambda: None)


if __name__ == "__main__":
    main()
