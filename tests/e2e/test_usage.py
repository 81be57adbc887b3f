"""What a request used is in the ledger, token for token, and keys are held to their limits and budgets."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from hack import install
from hack.cluster.poll import wait_until
from tests.e2e.site import ASK_AGAIN, ROOM, SERVICE, Site, api_key

BILLED_SECONDS = 60
QUESTION: Any = [{"role": "user", "content": "Name three rivers of Europe, and say where they end."}]
Tokens = tuple[int, int]
"""Of prompts and of completions."""


@contextmanager
def keyed(site: Site, name: str, *objects: dict[str, Any], **spec: Any) -> Iterator[openai.OpenAI]:
    """A client with a key of its own; key and objects are gone afterwards."""
    site.apply(ROOM, *objects, api_key(name, **spec))
    secret = install.issued_key(site.kubeconfig, ROOM, name)
    try:
        yield site.client(key=secret["OPENAI_API_KEY"])
    finally:
        site.api.kubectl("delete", "apikey", name, "--namespace", ROOM)
        for each in objects:
            site.api.kubectl("delete", each["kind"].lower(), each["metadata"]["name"], "--namespace", ROOM)


@pytest.fixture(scope="module")
def reports(served: Site) -> Iterator[openai.OpenAI]:
    """A client with an Admin's key of the namespace."""
    served.apply(ROOM, api_key("reports", role="Admin"))
    secret = install.issued_key(served.kubeconfig, ROOM, "reports")["OPENAI_API_KEY"]
    with openai.OpenAI(base_url=f"{served.base_url}/v1", admin_api_key=secret, max_retries=0) as client:
        yield client
    served.api.kubectl("delete", "apikey", "reports", "--namespace", ROOM)


def key_id(site: Site, name: str) -> str:
    found = install.get(site.kubeconfig, "apikeys", ROOM, name)
    assert found is not None
    return str(found["status"]["id"])


def reported(reports: openai.OpenAI, key: str) -> Tokens:
    """What the ledger says that a key used today."""
    answer = reports.admin.organization.usage.completions(
        start_time=int(time.time()) - 3600, bucket_width="1d", api_key_ids=[key], group_by=["api_key_id"]
    )
    found: list[Any] = [each for bucket in answer.data for each in bucket.results]
    return sum(each.input_tokens for each in found), sum(each.output_tokens for each in found)


def used(answer: Any) -> Tokens:
    return answer.usage.prompt_tokens, answer.usage.completion_tokens


def whole(client: openai.OpenAI, **more: Any) -> Tokens:
    return used(client.chat.completions.create(model=SERVICE, messages=QUESTION, max_tokens=12, **more))


def streamed(client: openai.OpenAI, **more: Any) -> Tokens:
    chunks = list(client.chat.completions.create(model=SERVICE, messages=QUESTION, max_tokens=12, stream=True, **more))
    told = [used(chunk) for chunk in chunks if chunk.usage is not None]
    return told[-1] if told else (0, 0)


def test_the_ledger_has_what_answers_say_token_for_token(served: Site, reports: openai.OpenAI) -> None:
    with keyed(served, "counted") as client:
        key = key_id(served, "counted")
        ways: list[Callable[[], Tokens]] = [
            lambda: whole(client),
            lambda: whole(client, n=2),
            lambda: streamed(client, stream_options={"include_usage": True}),
        ]
        told = [ask() for ask in ways]
        wanted = sum(prompt for prompt, _ in told), sum(completion for _, completion in told)
        assert min(wanted) > 0
        wait_until(lambda: reported(reports, key) == wanted, f"{wanted} in the ledger", timeout=BILLED_SECONDS)
        assert streamed(client, temperature=0, extra_body={"ignore_eos": True}) == (0, 0), "not told, and counted"
        further = wanted[0] + told[0][0], wanted[1] + 12
        wait_until(lambda: reported(reports, key) == further, f"{further} in the ledger", timeout=BILLED_SECONDS)


def cached(reports: openai.OpenAI, key: str) -> int:
    """Tokens of a key's prompts today that the engine had kept."""
    answer = reports.admin.organization.usage.completions(
        start_time=int(time.time()) - 3600, bucket_width="1d", api_key_ids=[key], group_by=["api_key_id"]
    )
    found: list[Any] = [each for bucket in answer.data for each in bucket.results]
    return sum(each.input_cached_tokens for each in found)


def test_no_key_has_what_the_engine_kept_of_anothers_prompt(served: Site, reports: openai.OpenAI) -> None:
    """Else the time to the first token would tell whether somebody has sent the same before."""
    with keyed(served, "first") as first, keyed(served, "second") as second:
        ids = {client: key_id(served, name) for client, name in ((first, "first"), (second, "second"))}
        text = f"{ids[first]} " + "The keeper of the lighthouse looks out over the sea. " * 100
        prompts = dict.fromkeys(ids, 0)

        def ask(client: openai.OpenAI) -> int:
            """Tokens of the prompt that were cached, once the ledger has the request."""
            messages: Any = [{"role": "user", "content": text}]
            answer = client.chat.completions.create(model=SERVICE, messages=messages, max_tokens=1)
            prompts[client] += used(answer)[0]
            here = ids[client]
            wait_until(lambda: reported(reports, here)[0] == prompts[client], "it is billed", timeout=BILLED_SECONDS)
            return cached(reports, here)

        assert [ask(first), ask(second)] == [0, 0]
        assert ask(first) > prompts[first] // 4, "its own prompt is kept"
        assert ask(second) > prompts[second] // 4


def test_a_client_that_leaves_pays_for_what_it_got(served: Site, reports: openai.OpenAI) -> None:
    with keyed(served, "leaving") as client:
        key = key_id(served, "leaving")
        with client.chat.completions.create(
            model=SERVICE, messages=QUESTION, max_tokens=1500, stream=True, extra_body={"ignore_eos": True}
        ) as stream:
            heard = [chunk for chunk, _ in zip(stream, range(6), strict=False)]
        wait_until(lambda: reported(reports, key)[1] > 0, "it is in the ledger", timeout=BILLED_SECONDS)
        assert len(heard) - 1 <= reported(reports, key)[1] < 1500


def asked(client: openai.OpenAI) -> openai.RateLimitError | None:
    """What refuses a request, or None where it was answered."""
    try:
        whole(client)
    except openai.RateLimitError as error:
        return error
    return None


def test_requests_beyond_the_limit_of_a_key_are_refused_until_the_next_minute(served: Site) -> None:
    with keyed(served, "limited", limits={"requestsPerMinute": 2}) as client:
        answered = 0
        while (error := asked(client)) is None:
            answered += 1
            assert answered <= 4, "two in a minute, and perhaps two in the one before"
        assert answered >= 2
        assert error.code == "rate_limit_exceeded"
        assert error.response.headers["x-ratelimit-limit-requests"] == "2"
        assert 1 <= int(error.response.headers["retry-after"]) <= 60


def test_a_spent_budget_closes_its_keys(served: Site) -> None:
    budget = {
        "apiVersion": "llmservice.io/v1alpha1",
        "kind": "Budget",
        "metadata": {"name": "trial"},
        "spec": {"window": "Once", "tokens": 50},
    }

    def refused() -> bool:
        error = asked(client)
        if error is None:
            return False
        assert (error.code, error.response.headers["x-should-retry"]) == ("insufficient_quota", "false")
        return True

    with keyed(served, "spender", budget, budgetRef={"name": "trial"}) as client:
        wait_until(refused, "it is spent", timeout=120, interval=ASK_AGAIN)
        assert whole(served.client())[1] > 0, "a key without the budget goes on"

        def spent() -> bool:
            found = install.get(served.kubeconfig, "budgets", ROOM, "trial")
            return install.condition(found, "Spent").get("status") == "True"

        wait_until(spent, "the Budget says so", timeout=120, interval=ASK_AGAIN)
