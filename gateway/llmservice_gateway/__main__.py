"""`python -m llmservice_gateway`: the container's entry point."""

import asyncio
import logging
import os
import signal
import sys
import time

from llmservice_api.json_lines import JsonLines
from llmservice_gateway import pepper, settings
from llmservice_gateway.agent import Agent
from llmservice_gateway.child import HAProxyFailed
from llmservice_gateway.gateway import Gateway, within_open_files
from llmservice_gateway.kube import KubernetesSource, connect
from llmservice_gateway.metrics import Metrics
from llmservice_gateway.runtime import RuntimeSocket
from llmservice_gateway.waker import KubernetesWriter


async def _main(chosen: settings.Settings, salt: pepper.Pepper) -> int:
    metrics = Metrics()
    api = connect()
    failed, namespaces = metrics.failures.labels("kubernetes").inc, chosen.watch_namespaces
    source = KubernetesSource(api, chosen.relist_interval, failed, namespaces=namespaces)
    store = RuntimeSocket(chosen.socket, chosen.maps)
    probe = salt.digest(salt.probe_key())
    agent = Agent(source, store, metrics, probe, time.time, chosen.resync_interval)
    gateway = Gateway(chosen, salt, agent, metrics, KubernetesWriter(api))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.stop)
    return await gateway.run()


def main() -> int:
    """The exit status: 2 for settings that cannot be used, said in one line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        chosen = within_open_files(settings.from_environment(os.environ))
        salt = pepper.read(chosen.pepper_file)
        return asyncio.run(_main(chosen, salt))
    except (settings.SettingsError, HAProxyFailed) as error:
        print(f"llmservice-gateway: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
