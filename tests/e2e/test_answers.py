"""Applications get their answers through the Ingress, with the official client."""

import openai
import pytest

from hack.cluster.poll import wait_until
from hack.install import issued_key
from tests.e2e.site import ROOM, SERVICE, Site, api_key

QUESTION = "What is the capital of France?"


@pytest.mark.parametrize("path", [None, f"{ROOM}/{SERVICE}"], ids=["shared-url", "url-with-name"])
def test_chat_answers(served: Site, path: str | None) -> None:
    answer = served.client(path=path).chat.completions.create(
        model=SERVICE, messages=[{"role": "user", "content": QUESTION}], max_tokens=24, temperature=0
    )
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 24


def test_an_alias_is_the_same_model(served: Site) -> None:
    answer = served.client().chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": QUESTION}], max_tokens=24, temperature=0
    )
    assert "Paris" in (answer.choices[0].message.content or "")


def test_completion_answers(served: Site) -> None:
    answer = served.client().completions.create(
        model=SERVICE, prompt="The capital of France is", max_tokens=8, temperature=0
    )
    assert "Paris" in answer.choices[0].text


def test_stream_comes_in_pieces_and_tells_usage_when_asked(served: Site) -> None:
    chunks = list(
        served.client().chat.completions.create(
            model=SERVICE,
            messages=[{"role": "user", "content": QUESTION}],
            max_tokens=24,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "Paris" in text
    assert sum(bool(chunk.choices) for chunk in chunks) > 3
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_models_are_listed(served: Site) -> None:
    listed = [model.id for model in served.client().models.list()]
    assert SERVICE in listed


def test_wrong_key_is_refused(served: Site) -> None:
    client = served.client(key="llms_0123456789abcdef.wrong")
    with pytest.raises(openai.AuthenticationError) as refused:
        client.chat.completions.create(model=SERVICE, messages=[{"role": "user", "content": "Hi"}])
    assert refused.value.code == "invalid_api_key"


def test_unknown_model_is_refused(served: Site) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        served.client().chat.completions.create(model="no-such", messages=[{"role": "user", "content": "Hi"}])
    assert refused.value.code == "model_not_found"


def test_bad_parameter_is_refused_without_internals(served: Site) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        served.client().chat.completions.create(
            model=SERVICE, messages=[{"role": "user", "content": "Hi"}], temperature=-1
        )
    assert "Traceback" not in refused.value.message
    assert "/opt/" not in refused.value.message


def test_a_new_key_works_and_a_deleted_one_is_dead(served: Site) -> None:
    served.apply(ROOM, api_key("passing", models=[SERVICE]))
    client = served.client(key=issued_key(served.kubeconfig, ROOM, "passing")["OPENAI_API_KEY"])
    wait_until(lambda: _opens(client), "the new key opens the model", timeout=30)
    served.api.kubectl("delete", "apikey", "passing", "--namespace", ROOM)
    wait_until(lambda: not _opens(client), "the deleted key is refused", timeout=30)


def _opens(client: openai.OpenAI) -> bool:
    try:
        return bool(client.models.list().data)
    except openai.AuthenticationError:
        return False
