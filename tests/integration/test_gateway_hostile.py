"""What hostile clients leave behind: no odd byte in an answer, no broken line in the log, no memory, nobody's turn."""

import asyncio
import gc
import io
import itertools
import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.eventually import eventually
from tests.integration.gateway_stack import Stack, running
from tests.integration.haproxy_program import haproxy
from tests.integration.test_gateway_bad_input import HEAD, HOST, SHAPED, UNPARSED
from tests.unit.gateway.builders import apikey, llmservice, secret_key

KEY = secret_key(1)
CHAT = "/v1/chat/completions"
BODY = {"model": "llama", "messages": [{"role": "user", "content": "a secret of the prompt"}]}
AT_ONCE = 60
MOST_KB = 2048
"""What HAProxy may grow by; buffers of a few connections."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("haproxy")
    program = folder / "haproxy"
    program.write_text(f'#!/bin/sh\nexec {haproxy()} "$@" >>{folder}/log\n')
    program.chmod(0o755)
    async with running(haproxy=str(program)) as found:
        await found.put("llmservices", llmservice("llama", address=found.upstream.address))
        await found.put("apikeys", apikey(1))
        yield found


def log(stack: Stack) -> Path:
    """What HAProxy wrote on its standard output."""
    return Path(stack.settings.haproxy).with_name("log")


MODELS = {
    "not UTF-8": b"\xff\xfe\x80",
    "a surrogate alone": b"\\ud800",
    "half of a pair in bytes": b"\xed\xa0\x80",
    "NUL": b"\\u0000",
    "a line's end": b"a\\r\\nX-Evil: y",
    "quotes": b'a\\"},{\\"b',
    "right to left": "\u202eamall".encode(),
    "no width": "ll\u200bama".encode(),
    "another script": "llаma".encode(),
    "pictures": "🦙".encode() * 40,
    "a log's words": b"%[env(PATH)]%%{+Q}o",
    "a path": b"..\\/..\\/etc\\/passwd",
    "10 KiB": b"x" * 10_240,
}


@pytest.mark.parametrize("pad", [0, 100_000], ids=["read by HAProxy", "read by the activator"])
@pytest.mark.parametrize("name", MODELS)
async def test_a_strange_model_is_no_model(stack: Stack, name: str, pad: int) -> None:
    stack.upstream.seen.clear()
    body = b'{"pad": "%s", "model": "%s"}' % (b"x" * pad, MODELS[name])
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    answer = await stack.ask("POST", CHAT, data=body, headers=headers)
    answer.body.decode()
    # HAProxy's reader of JSON stops at half a pair: there is no model then.
    is_none = name == "a surrogate alone" and not pad
    assert (answer.status, answer.error["code"]) == (
        (400, "missing_required_parameter") if is_none else (404, "model_not_found")
    )
    assert "X-Evil" not in answer.headers
    assert stack.upstream.seen == []


async def test_each_line_of_the_log_is_one_json_object_without_keys_and_prompts(stack: Stack) -> None:
    marked = [
        HEAD + HOST + b"Content-Length: 3\r\n\r\n{\x01\x7f",
        b'GET /"\\%0a{}?q=secret HTTP/1.1\r\nHost: h\r\nX-Request-Id: "}\r\n\r\n',
        b'PO"ST /v1/models HTTP/1.1\r\nHost: h\r\n\r\n',
        b"GET /v1/\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n",
    ]
    for data in marked:
        await stack.raw(data, wait=0.2)
    for model in MODELS.values():
        body = b'{"model": "%s", "messages": "a secret of the prompt"}' % model
        await stack.ask("POST", CHAT, data=body, headers={"Authorization": f"Bearer {KEY}"})
    assert (await stack.post(CHAT, BODY, KEY, **{"X-Request-Id": "the-last"})).status == 200
    await eventually(lambda: "the-last" in log(stack).read_text())
    lines = log(stack).read_bytes().splitlines()
    assert len(lines) > len(marked) + len(MODELS)
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert b"secret" not in b"".join(lines)
    assert KEY.partition(".")[2].encode() not in b"".join(lines)


ODD_PATHS = {
    "a quote": b'/team-a/lla"ma/v1/models',
    "a quote at the end of a part": b'/team-a/llama"/v1/models',
    "a backslash": b"/team-a/lla\\ma/v1/chat/completions",
    "a backslash at the end of a part": b"/team-a\\/llama\\/v1/models",
    "a backslash at the end": b"/v1/models\\",
    "a quote under the shared URL": b'/v1/models/"llama"',
    "cut off within": b"/" + b'"\\' * 300,
}


@pytest.mark.parametrize("name", ODD_PATHS)
async def test_a_path_that_json_would_escape_is_no_url_and_harms_no_json(stack: Stack, name: str) -> None:
    path, ours = ODD_PATHS[name], {"namespace": "-", "service": "-", "reason": "unknown_url"}
    counted = stack.figure("llmservice_gateway_refused_total", **ours)
    answer = await stack.raw(b"GET %s HTTP/1.1\r\nHost: h\r\nX-Request-Id: odd\r\nConnection: close\r\n\r\n" % path)
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert error["code"] == "unknown_url"
    assert error["message"] == f"Unknown request URL: GET {path[:512].decode()}."
    await eventually(lambda: stack.figure("llmservice_gateway_refused_total", **ours) == counted + 1)
    lines = (json.loads(line) for line in log(stack).read_bytes().splitlines() if b'"request_id":"odd"' in line)
    assert [line["route"] for line in lines if line["path"] == path[:512].decode()] == ["-"]


async def resident_kb(stack: Stack) -> int:
    """HAProxy's memory."""
    reader, writer = await asyncio.open_unix_connection(stack.settings.socket)
    writer.write(b"show info\n")
    info = dict(line.split(": ", 1) for line in (await reader.read()).decode().splitlines() if ": " in line)
    writer.close()
    return _resident_kb(info["Pid"])


def _resident_kb(pid: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


async def hostile(stack: Stack) -> None:
    """A thousand requests that no client library would send."""
    datas = [*(data for _, data in SHAPED.values()), *UNPARSED.values()]
    turn = asyncio.Semaphore(AT_ONCE)

    async def send(data: bytes) -> None:
        async with turn:
            await stack.raw(data, wait=0.2)

    await asyncio.gather(*(send(data) for data in itertools.islice(itertools.cycle(datas), 1000)))


async def test_they_take_no_memory_and_nobodys_turn(stack: Stack) -> None:
    await hostile(stack)  # what HAProxy keeps to use again is there afterwards
    before = await resident_kb(stack)
    for _ in range(3):
        sending = asyncio.create_task(hostile(stack))
        good = [(await stack.post(CHAT, BODY, KEY)).status for _ in range(30)]
        await sending
        assert good == [200] * 30
    assert await resident_kb(stack) - before < MOST_KB


PAD = b"x" * 2 * 1024 * 1024
LARGE = (
    b'{"pad": "%s", "model": 1}' % PAD,
    b'{"pad": "%s", "model": "none"}' % PAD,
    b'{"model": "llama", "pad": "%s", "model": "llama"}' % PAD,
    b'{"pad": "%s"}' % PAD,
    b'{"model": "llama", "pad": "%s"' % PAD,
    b'["%s"]' % PAD,
)


async def test_large_bodies_that_the_agent_refuses_are_let_go(stack: Stack) -> None:
    async def refused() -> list[int]:
        headers = {"Authorization": f"Bearer {KEY}"}
        return [(await stack.ask("POST", CHAT, data=io.BytesIO(body), headers=headers)).status for body in LARGE]

    assert await refused() == [400, 404, 400, 400, 400, 400]
    tracemalloc.start()  # the agent is a part of this process
    try:
        for _ in range(3):
            await refused()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < len(PAD)
    finally:
        tracemalloc.stop()
