"""Who gets through, and what everybody else is told."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tests.integration.gateway_stack import Stack, running
from tests.unit.gateway.builders import PEPPER, apikey, llmservice, secret_key

CHAT = {"messages": [{"role": "user", "content": "hi"}], "model": "org/llama"}
ALL, LISTED, OTHER, WORN, BRIEF = (secret_key(number) for number in range(1, 6))
KEYED = f"Authorization: Bearer {ALL}\r\nContent-Length: 0\r\n"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Stack]:
    async with running() as stack:
        await stack.put(
            "llmservices",
            llmservice("llama", model="org/llama", aliases=["gpt-4o-mini"], address=stack.upstream.address),
            llmservice("cold"),
            llmservice("free", address=stack.upstream.address, mode="Open"),
            llmservice("own", address=stack.upstream.address, host="llm.example.com"),
            llmservice("theirs", namespace="team-b", address=stack.upstream.address),
        )
        await stack.put(
            "apikeys",
            apikey(1),
            apikey(2, models=["fr*", "nothing"]),
            apikey(3, namespace="team-b"),
            apikey(4, expires=(datetime.now(UTC) - timedelta(seconds=1)).isoformat()),
        )
        yield stack


@pytest.fixture
def stack(gateway: Stack) -> Stack:
    gateway.upstream.seen.clear()
    return gateway


@pytest.mark.parametrize("model", ["org/llama", "gpt-4o-mini", "free"])
@pytest.mark.parametrize(
    "api",
    [
        *("chat/completions", "completions", "responses", "messages", "embeddings", "score", "rerank", "classify"),
        *("tokenize", "detokenize", "audio/transcriptions", "audio/translations", "tasks/classify", "tasks/summarize"),
        *("tasks/translate", "tasks/answer", "tasks/code", "messages/count_tokens", "../v2/rerank"),
    ],
)
async def test_a_model_answers_on_the_shared_url(stack: Stack, api: str, model: str) -> None:
    url = f"/v1/{api}".replace("/v1/../", "/")
    answer = await stack.post(f"{url}?x=1", {**CHAT, "model": model}, ALL)
    assert answer.status == 200
    path, headers, _ = stack.upstream.seen[-1]
    assert path == url
    assert "Authorization" not in headers
    assert headers["x-request-id"] == answer.headers["x-request-id"]
    assert headers["x-llmservice-key-id"] == f"{1:016x}"


@pytest.mark.parametrize("engine", ["org/llama", "org%2Fllama", "gpt%2d4o-mini", "free"])
async def test_the_oldest_completions_name_the_model_in_the_url(stack: Stack, engine: str) -> None:
    assert (await _raw_post(stack, f"/v1/engines/{engine}/completions")).startswith(b"HTTP/1.1 200 ")
    assert (await _raw_post(stack, "/team-a/llama/v1/engines/any/completions")).startswith(b"HTTP/1.1 200 ")
    engines = [path for path, _, _ in stack.upstream.seen]
    assert [path.lower() for path in engines] == [
        f"/v1/engines/{engine}/completions".lower(),
        "/v1/engines/any/completions",
    ]


@pytest.mark.parametrize("engine", ["nothing", "theirs", "org", ".."])
async def test_an_engine_that_is_not_there_is_a_model_that_is_not_there(stack: Stack, engine: str) -> None:
    answer = await _raw_post(stack, f"/v1/engines/{engine}/completions")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b'"code": "model_not_found"' in answer
    assert stack.upstream.seen == []


async def test_anthropics_header_is_a_key_too(stack: Stack) -> None:
    headers = {"x-api-key": ALL, "anthropic-version": "2023-06-01", "anthropic-beta": "b", "Idempotency-Key": "i"}
    assert (await stack.post("/v1/messages", CHAT, **headers)).status == 200
    _, seen, _ = stack.upstream.seen[-1]
    assert "x-api-key" not in seen
    del headers["x-api-key"]
    assert {name: seen[name] for name in headers} == headers


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/team-a/llama/v1/messages"])
@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({}, 401, "authentication_error"),
        ({"x-api-key": OTHER}, 404, "not_found_error"),
        ({"x-api-key": ALL, "Authorization": f"Bearer {ALL}"}, 400, "invalid_request_error"),
        ({"x-api-key": ALL, "Content-Encoding": "gzip"}, 415, "invalid_request_error"),
        ({"x-api-key": ALL, "Content-Length": "9999999"}, 413, "request_too_large"),
    ],
)
async def test_errors_of_messages_have_anthropics_shape(
    stack: Stack, path: str, headers: dict[str, str], status: int, kind: str
) -> None:
    sent = {"Content-Length": str(len(json.dumps(CHAT))), **headers}
    answer = await _raw_post(stack, path, "".join(f"{name}: {value}\r\n" for name, value in sent.items()), CHAT)
    head, _, body = answer.partition(b"\r\n\r\n")
    shaped = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert set(shaped) == {"type", "error", "request_id"}
    assert (shaped["type"], shaped["error"]["type"]) == ("error", kind)
    assert f"request-id: {shaped['request_id']}".encode() in head
    assert stack.upstream.seen == []


async def test_a_model_answers_on_its_own_url_and_host_whatever_the_body(stack: Stack) -> None:
    for api in ("v1/chat/completions", "v2/rerank"):
        stack.upstream.seen.clear()
        assert (await stack.post(f"/team-a/llama/{api}", {}, ALL)).status == 200
        assert (await stack.post(f"/{api}", {}, ALL, Host="LLM.example.com:443")).status == 200
        assert [path for path, _, _ in stack.upstream.seen] == [f"/{api}"] * 2


async def test_the_probe_key_opens_every_namespace_by_url_only(stack: Stack) -> None:
    probe = PEPPER.probe_key()
    assert (await stack.post("/team-a/llama/v1/chat/completions", CHAT, probe)).status == 200
    assert (await stack.post("/team-b/theirs/v1/chat/completions", CHAT, probe)).status == 200
    assert (await stack.post("/v1/chat/completions", CHAT, probe)).status == 404


async def test_an_open_model_needs_no_key_and_takes_any(stack: Stack) -> None:
    for key in (None, "none", ALL, OTHER, WORN):
        assert (await stack.post("/team-a/free/v1/chat/completions", CHAT, key)).status == 200
    assert (await stack.get("/team-a/free/v1/models")).status == 200
    assert (await stack.post("/v1/chat/completions", {"model": "free"})).status == 401


REFUSED = {
    "no key": None,
    "not a key": "hello",
    "unknown id": secret_key(99),
    "wrong secret": secret_key(1, "t" * 43),
    "wrong prefix": ALL.replace("llms", "sk"),
    "expired": WORN,
    "probe, wrong secret": "llms_probe." + "a" * 43,
    "empty parts": "_.",
    "separators": "a|b_*|*.c",
    "only an id": f"llms_{1:016x}",
}


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/team-a/llama/v1/completions", "/team-a/none/v1/completions"]
)
@pytest.mark.parametrize("key", REFUSED.values(), ids=list(REFUSED))
async def test_every_bad_key_gets_the_same_401(stack: Stack, path: str, key: str | None) -> None:
    answer = await stack.post(path, CHAT, key)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.error["code"] == "invalid_api_key"
    assert answer.body == (await stack.post("/v1/completions", CHAT)).body
    assert stack.upstream.seen == []


@pytest.mark.parametrize(
    ("key", "model", "path"),
    [
        (ALL, "unknown", "/v1/chat/completions"),
        (ALL, "theirs", "/v1/chat/completions"),
        (LISTED, "org/llama", "/v1/chat/completions"),
        (OTHER, "org/llama", "/v1/chat/completions"),
        (ALL, "../../x", "/v1/chat/completions"),
        (ALL, 'a"\r\nX: y', "/v1/chat/completions"),
        (ALL, "x" * 10240, "/v1/chat/completions"),
        (ALL, "%[env(PATH)]%", "/v1/chat/completions"),
    ],
)
async def test_a_model_that_the_key_does_not_open_does_not_exist(stack: Stack, key: str, model: str, path: str) -> None:
    answer = await stack.post(path, {"model": model}, key)
    assert answer.status == 404
    assert (answer.error["code"], answer.error["param"]) == ("model_not_found", "model")
    assert f"`{model[:128]}`" in answer.error["message"]
    assert stack.upstream.seen == []


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (ALL, "/team-a/none/v1/chat/completions"),
        (ALL, "/team-b/theirs/v1/chat/completions"),
        (LISTED, "/team-a/llama/v1/chat/completions"),
        (LISTED, "/team-a/cold/v1/chat/completions"),
        (PEPPER.probe_key(), "/team-a/none/v1/chat/completions"),
    ],
)
async def test_a_url_that_the_key_does_not_open_does_not_exist(stack: Stack, key: str, path: str) -> None:
    answer = await stack.post(path, CHAT, key)
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert stack.upstream.seen == []


async def test_a_key_with_a_list_opens_what_fits_it(stack: Stack) -> None:
    assert (await stack.post("/team-a/free/v1/completions", {}, LISTED)).status == 200
    assert (await stack.post("/v1/completions", {"model": "free"}, LISTED)).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/team-a/cold/v1/chat/completions"])
async def test_a_model_without_an_address_is_not_ready(stack: Stack, path: str) -> None:
    answer = await stack.post(path, {"model": "cold"}, ALL)
    assert (answer.status, answer.error["code"]) == (503, "model_not_ready")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/v1",
            "/v1/",
            "/metrics",
            "/docs",
            "/invocations",
            "/tokenize",
            "/pause",
            "/update_weights",
            "/v1/files",
        ),
        *(
            "/collective_rpc",
            "/v1/chat",
            "/v1//chat/completions",
            "/v1/chat/completions/",
            "/v2/chat/completions",
            "/v2/rerank/",
            "/team-a/llama/v2/score",
        ),
        *("/team-a/llama/metrics", "/team-a/llama/v1/../metrics", "/team-a/llama/x/v1/completions", "//v1/completions"),
        *(
            "/v1/%63ompletions",
            "/v1/engines/org%2Fllama%00/completions",
            "/v1/engines//completions",
            "/team-a/llama/v1/load_lora_adapter",
            "/-/routes",
            "/api/serve/applications/",
        ),
    ],
)
async def test_only_listed_urls_exist(stack: Stack, path: str) -> None:
    for method in ("GET", "POST"):
        head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ALL}\r\nContent-Length: 0\r\n\r\n"
        answer = await stack.raw(head.encode() + b"GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b'"code": "unknown_url"' in answer
    assert stack.upstream.seen == []


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/team-a/llama/v1/completions", "POST"),
        ("OPTIONS", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/org/llama", "GET"),
    ],
)
async def test_other_methods_are_refused(stack: Stack, method: str, path: str, allow: str) -> None:
    answer = await stack.ask(method, path, headers={"Authorization": f"Bearer {ALL}"})
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == allow
    assert f"{method} {path}" in answer.error["message"]


async def test_models_lists_what_the_key_opens_and_answers(stack: Stack) -> None:
    async def ids(path: str, key: str | None) -> list[str]:
        answer = await stack.get(path, key)
        assert answer.status == 200
        return [model["id"] for model in json.loads(answer.body)["data"]]

    assert await ids("/v1/models", ALL) == ["free", "org/llama", "gpt-4o-mini", "own"]
    assert await ids("/v1/models", LISTED) == ["free"]
    assert await ids("/v1/models", OTHER) == ["theirs"]
    assert await ids("/team-a/llama/v1/models", ALL) == ["org/llama", "gpt-4o-mini"]
    assert await ids("/team-a/free/v1/models", None) == ["free"]
    for path in ("/v1/models/org/llama", "/v1/models/org%2Fllama", "/team-a/llama/v1/models/org/llama"):
        assert (await stack.get(path, ALL)).status == 200
    for path, key in (("/v1/models/theirs", ALL), ("/v1/models/org/llama", LISTED), ("/v1/models/", ALL)):
        answer = await stack.get(path, key)
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert (await stack.get("/v1/models")).status == 401
    assert (await stack.get("/team-a/llama/v1/models", OTHER)).status == 404


async def test_what_a_client_may_not_say_does_not_reach_the_model(stack: Stack) -> None:
    headers = {
        "X-Forwarded-For": "10.0.0.1",
        "Forwarded": "for=10.0.0.1",
        "X-LLMService-Key-Id": "0" * 16,
        "X-LLMService-Tenant": "team-b",
        "OpenAI-Organization": "org",
        "X-Data-Parallel-Rank": "1",
        "Cookie": "a=b",
        "X-Request-Id": "mine-1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    answer = await stack.post("/v1/chat/completions", CHAT, ALL, **headers)
    assert answer.headers["x-request-id"] == "mine-1"
    _, seen, _ = stack.upstream.seen[-1]
    assert {name.lower() for name in seen} == {
        *("host", "accept", "content-length", "content-type", "traceparent", "user-agent"),
        *("x-request-id", "x-llmservice-key-id", "x-llmservice-route"),
    }
    assert seen["x-llmservice-key-id"] == f"{1:016x}"


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, 'a"b', "ü"])
async def test_an_odd_request_id_is_replaced(stack: Stack, request_id: str) -> None:
    answer = await stack.post("/v1/chat/completions", CHAT, ALL, **{"X-Request-Id": request_id})
    assert answer.headers["x-request-id"].startswith("req_")


async def _raw_post(stack: Stack, path: str, headers: str = KEYED, body: object = None) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n"
    return await stack.raw((head + (json.dumps(body) if body else "")).encode())
