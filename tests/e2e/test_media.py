"""Images and audios on real models, through the gateway, with the official client.

Nothing was taught to the models: that an image or an audio reaches one is seen by what it changes in the answer.
"""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from hack import model
from tests.e2e.encoders import serving
from tests.e2e.media import image_part, linked, picture, tone
from tests.e2e.site import ROOM, Site

EYES = "eyes"
EARS = "ears"
QUESTION = {"type": "text", "text": "What is it?"}
IMAGE_TOKENS = (112 // 28) ** 2
NO_IMAGE = b"no image at all"


@pytest.fixture(scope="module")
def eyes(site: Site) -> Iterator[openai.OpenAI]:
    """A client of a service that sees."""
    engine = {"maxModelLen": 1024, "args": {"limitMmPerPrompt": {"image": 2}}}
    with serving(site, EYES, model.VISION, engine, mediaHosts=["images.example.com"]):
        yield site.client(path=f"{ROOM}/{EYES}")


@pytest.fixture(scope="module")
def ears(site: Site) -> Iterator[openai.OpenAI]:
    """A client of a service that hears."""
    with serving(site, EARS, model.SPEECH, {}, tasks=["Transcribe"]):
        yield site.client(path=f"{ROOM}/{EARS}")


def seen(client: openai.OpenAI, *parts: Any) -> tuple[int, list[float]]:
    """What an answer to `parts` says: tokens of the prompt, and the log-probabilities of its own."""
    message: Any = {"role": "user", "content": [QUESTION, *parts]}
    answer = client.chat.completions.create(
        model=EYES, messages=[message], max_tokens=8, temperature=0, seed=1, logprobs=True
    )
    logprobs, usage = answer.choices[0].logprobs, answer.usage
    assert logprobs is not None
    assert usage is not None
    return usage.prompt_tokens, [token.logprob for token in logprobs.content or ()]


def test_an_image_reaches_the_model(eyes: openai.OpenAI) -> None:
    red, blue = (image_part(picture(colour)) for colour in ("red", "blue"))
    tokens, of_red = seen(eyes, red)
    assert seen(eyes, red) == (tokens, of_red)
    assert seen(eyes, blue)[0] == tokens
    assert seen(eyes, blue)[1] != of_red
    assert seen(eyes, blue, red)[1] != seen(eyes, red, blue)[1]


def test_an_image_counts_in_the_prompt(eyes: openai.OpenAI) -> None:
    (bare, _), (one, _), (two, _) = (seen(eyes, *[image_part(picture("red"))] * count) for count in range(3))
    assert two - one == one - bare
    assert 0 <= one - bare - IMAGE_TOKENS <= 4


def test_a_model_that_sees_chats_without_images(eyes: openai.OpenAI) -> None:
    answer = eyes.chat.completions.create(model=EYES, messages=[{"role": "user", "content": "Hi"}], max_tokens=8)
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 8


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (linked("https://elsewhere.example.com/a.png"), "host 'elsewhere.example.com'"),
        (linked("http://127.0.0.1/a.png"), "may not come from the host"),
        (linked("data:audio/wav;base64,UklGRg=="), "must be an image"),
        (linked("file:///etc/passwd"), "must be a data: URL"),
        (image_part(NO_IMAGE), "cannot be read"),
        (image_part(picture("red")[:60]), ""),
        ({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}, "audio"),
    ],
)
def test_bad_media_are_the_requests_fault(eyes: openai.OpenAI, part: Any, said: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        seen(eyes, part)
    assert said in refused.value.message


def test_a_small_file_of_many_pixels_is_not_decoded(eyes: openai.OpenAI) -> None:
    large = picture("red", 6000, 6000)
    assert len(large) < 1024**2
    with pytest.raises(openai.BadRequestError, match="at most 32 megapixels"):
        seen(eyes, image_part(large))


def test_there_is_a_limit_of_images(eyes: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="2 image"):
        seen(eyes, *[image_part(picture("red"))] * 3)


def clip(content: bytes) -> tuple[str, bytes]:
    return "clip.wav", content


def test_an_audio_reaches_the_model(ears: openai.OpenAI) -> None:
    low, again, high = (
        ears.audio.transcriptions.create(model=EARS, file=clip(tone(hertz)), language="en").text
        for hertz in (440, 440, 1200)
    )
    assert low
    assert low == again
    assert low != high


def test_a_transcript_as_text_and_as_a_stream(ears: openai.OpenAI) -> None:
    said = ears.audio.transcriptions.create(model=EARS, file=clip(tone(440)), language="en").text
    text: Any = ears.audio.transcriptions.create(
        model=EARS, file=clip(tone(440)), language="en", response_format="text"
    )
    assert text == said
    stream = ears.audio.transcriptions.create(model=EARS, file=clip(tone(440)), language="en", stream=True)
    *deltas, last = stream
    assert last.type == "transcript.text.done"
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert "".join(event.delta for event in deltas if event.type == "transcript.text.delta") == last.text == said


def test_the_language_is_heard_where_none_is_named(ears: openai.OpenAI) -> None:
    heard = ears.audio.transcriptions.create(model=EARS, file=clip(tone(440, 31)), response_format="verbose_json")
    assert len(heard.language) in (2, 3)
    assert heard.duration == 31


@pytest.mark.parametrize("content", [b"no audio at all " * 100, b"", tone(440)[:30]], ids=["text", "empty", "cut"])
@pytest.mark.parametrize("streams", [False, True])
def test_what_is_no_audio_is_the_requests_fault(ears: openai.OpenAI, content: bytes, streams: bool) -> None:
    with pytest.raises(openai.BadRequestError, match="audio"):
        ears.audio.transcriptions.create(model=EARS, file=clip(content), language="en", stream=streams)


def test_a_model_that_hears_does_not_chat(ears: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        ears.chat.completions.create(model=EARS, messages=[{"role": "user", "content": "Hi"}])
    assert refused.value.code == "unknown_url"
