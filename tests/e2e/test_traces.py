"""One trace from the client over the gateway to vLLM, told to a real OTLP receiver; off before and after."""

import asyncio
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hack import install
from hack.cluster import machine
from hack.cluster.poll import wait_until
from tests.e2e.site import KEY, Site, llmservice, make_room, wait_ready
from tests.integration.otlp_receiver import Received, attributes, receiving

ROOM = "traced"
NAME = "smol"
SECRET = "the walrus said that the time has come"


@contextmanager
def receiver() -> Iterator[Received]:
    """A receiver that the cluster's pods reach, in a thread with a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opened = receiving(machine.address())
    try:
        yield asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def received(site: Site) -> Iterator[Received]:
    """What a receiver got of a model that was started with traces on. Other models do not notice: they are paused."""
    others = _services(site)
    _pause(site, others, True)
    with receiver() as found:
        try:
            install.install(site.kubeconfig, site.images, site.base_url, values={"tracing": {"endpoint": found.url}})
            make_room(site, ROOM)
            site.apply(ROOM, llmservice(NAME))
            wait_ready(site, ROOM, NAME)
            yield found
        finally:
            site.api.kubectl("delete", "llm", NAME, "--namespace", ROOM, "--ignore-not-found", "--wait=false")
            install.install(site.kubeconfig, site.images, site.base_url, values={"tracing": {"endpoint": ""}})
            _pause(site, others, False)


def _services(site: Site) -> list[tuple[str, str]]:
    columns = "custom-columns=:.metadata.namespace,:.metadata.name"
    lines = site.api.kubectl("get", "llm", "--all-namespaces", "--no-headers", "-o", columns).splitlines()
    return [(namespace, name) for namespace, name in map(str.split, lines)]


def _pause(site: Site, services: list[tuple[str, str]], paused: bool) -> None:
    for namespace, name in services:
        patch = f'{{"spec":{{"paused":{str(paused).lower()}}}}}'
        site.api.kubectl("patch", "llm", name, "--namespace", namespace, "--type=merge", "-p", patch)


def test_a_trace_goes_from_the_client_over_the_gateway_to_vllm(site: Site, received: Received) -> None:
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    answer = site.client(ROOM).chat.completions.create(
        model=NAME,
        messages=[{"role": "user", "content": SECRET}],
        max_tokens=8,
        extra_headers={"traceparent": f"00-{trace}-{parent}-01"},
    )
    assert answer.usage is not None
    wait_until(lambda: len(received.of(trace)) == 2, "both spans", timeout=30)
    spans = dict(received.of(trace))
    gateway, engine = spans["llmservice-gateway"], spans["llmservice-engine"]
    assert gateway.parent_span_id.hex() == parent
    assert (engine.name, engine.parent_span_id) == ("llm_request", gateway.span_id)
    assert attributes(gateway)["llmservice.route"] == f"{ROOM}/{NAME}"
    assert attributes(engine)["gen_ai.usage.completion_tokens"] == answer.usage.completion_tokens
    assert gateway.start_time_unix_nano <= engine.end_time_unix_nano <= gateway.end_time_unix_nano + 10**8
    assert SECRET not in str(spans)


def test_what_the_client_does_not_want_traced_is_not(site: Site, received: Received) -> None:
    def ask(flags: str) -> str:
        trace = secrets.token_hex(16)
        site.client(ROOM).chat.completions.create(
            model=NAME,
            messages=[{"role": "user", "content": SECRET}],
            max_tokens=4,
            extra_headers={"traceparent": f"00-{trace}-{secrets.token_hex(8)}-{flags}"},
        )
        return trace

    unwanted, wanted = ask("00"), ask("01")
    wait_until(lambda: len(received.of(wanted)) == 2, "the later one's spans", timeout=30)
    assert received.of(unwanted) == []


def test_the_key_of_the_room_is_named_and_nothing_of_its_secret(site: Site, received: Received) -> None:
    told = [attributes(span) for service, span in received.spans if service == "llmservice-gateway"]
    ids = {each.get("llmservice.key_id") for each in told}
    secret = site.keys[ROOM]
    assert secret.partition(".")[0].partition("_")[2] in ids, f"APIKey {KEY}"
    assert secret.partition(".")[2] not in str(told)
