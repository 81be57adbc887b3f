"""Bad bodies through the Ingress: the status, OpenAI's shape, nothing of the inside, and a good request beside it."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.media import image_part, picture
from tests.e2e.site import ROOM, SERVICE, Site

USER = {"role": "user", "content": "Hi"}
CHAT: dict[str, Any] = {"model": SERVICE, "messages": [USER], "max_tokens": 2}
LOOP = "{% for i in range(1000000000) %}x{% endfor %}"
INSIDE = ("Traceback", "/opt/", "site-packages", "10.0.", "10.96.", "vllm", "pydantic")


@pytest.fixture(scope="module")
def raw(served: Site) -> Iterator[httpx.Client]:
    """Plain HTTP on the URL with the name."""
    headers = {"authorization": f"Bearer {served.keys[ROOM]}", "content-type": "application/json"}
    with httpx.Client(base_url=f"{served.base_url}/{ROOM}/{SERVICE}/v1/", headers=headers, timeout=60) as client:
        yield client


def chat(**more: Any) -> bytes:
    return json.dumps({**CHAT, **more}).encode()


def image(url: str) -> bytes:
    return chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])


BODIES = {
    "depth-100000": b'{"model":"smol","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "model-twice": b'{"model":"smol","model":"smol","messages":[{"role":"user","content":"Hi"}]}',
    "lone-surrogate": b'{"model":"smol","messages":[{"role":"user","content":"\\ud800"}]}',
    "bad-utf-8": b'{"model":"smol","messages":[{"role":"user","content":"\xff"}]}',
    "not-json": b"{",
    "nan": b'{"model":"smol","messages":[{"role":"user","content":"Hi"}],"temperature":NaN}',
    **{f"n={n}": chat(n=n) for n in (0, -1, 10**9)},
    **{f"max_tokens={most!r}": chat(max_tokens=most) for most in (-1, 2**63, True, "10")},
    "temperature=-1": chat(temperature=-1),
    **{f"{name}=1e9": chat(**{name: 1e9}) for name in ("frequency_penalty", "presence_penalty", "repetition_penalty")},
    "bad_words": chat(bad_words=[10**9]),
    "allowed_token_ids": chat(allowed_token_ids=[10**9]),
    "logit_bias": chat(logit_bias={"1000000000": 1}),
    "regex": chat(structured_outputs={"regex": "(a+)+b"}),
    "chat_template": chat(chat_template=LOOP),
    "chat_template_kwargs": chat(chat_template_kwargs={"chat_template": LOOP}),
    "prompt_embeds": chat(prompt_embeds="AAAA"),
    "inner-image": image("http://169.254.169.254/latest/meta-data"),
    "image-of-a-file": image("file:///etc/passwd"),
    "image-of-the-cluster": image("http://kubernetes.default.svc/"),
    "image-for-a-model-that-does-not-see": image(image_part(picture("red"))["image_url"]["url"]),
    "context+1": chat(messages=[{"role": "user", "content": "word " * 2049}]),
    "a-million-messages": b'{"model":"smol","messages":[' + b"{}," * 999_999 + b"{}]}",
    "no-messages": chat(messages=[]),
    "role-root": chat(messages=[{"role": "root", "content": "Hi"}]),
    "stream=yes": chat(stream="yes"),
    "unknown-field": chat(frobnicate=1),
}


def check(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text[:300]
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert not [word for word in INSIDE if word in answer.text]
    assert len(answer.text) < 2000
    return error


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_bad_body_is_refused(raw: httpx.Client, body: bytes) -> None:
    check(raw.post("chat/completions", content=body), 400)


@pytest.mark.parametrize("ids", [[-1], [10**9]])
def test_token_ids_out_of_the_vocabulary_are_refused(raw: httpx.Client, ids: list[int]) -> None:
    assert check(raw.post("completions", json={"model": SERVICE, "prompt": ids}), 400)["param"] == "prompt"


@pytest.mark.parametrize("name", ["../../x", "a\r\nX:y", "x" * 10_240])
def test_a_strange_model_is_not_found(raw: httpx.Client, name: str) -> None:
    assert check(raw.post("chat/completions", content=chat(model=name)), 404)["code"] == "model_not_found"


def test_a_gzip_bomb_is_not_opened(raw: httpx.Client) -> None:
    check(raw.post("chat/completions", content=b"\x1f\x8b", headers={"content-encoding": "gzip"}), 415)


def test_many_schemas_of_one_key_are_too_many(raw: httpx.Client) -> None:
    def status(number: int) -> int:
        form = {"structured_outputs": {"json": {"const": number}}, "logit_bias": {"x": 1}}
        return raw.post("chat/completions", content=chat(**form)).status_code

    assert status(0) == 400, "what is refused for another reason is not compiled, and not counted"
    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < 100:
        choice = {"structured_outputs": {"choice": [f"yes{len(statuses)}"]}, "max_tokens": 1}
        statuses.append(raw.post("chat/completions", content=chat(**choice)).status_code)
    assert set(statuses) == {200, 429}


def test_an_idempotency_key_stands_for_one_body(raw: httpx.Client) -> None:
    headers = {"idempotency-key": "e2e-one-body"}
    statuses = [raw.post("chat/completions", content=chat(seed=n), headers=headers).status_code for n in (1, 1, 2)]
    assert statuses == [200, 200, 409]


def test_a_good_request_is_unaffected(raw: httpx.Client) -> None:
    assert raw.post("chat/completions", content=chat()).status_code == 200
