"""The least that a model can be asked of each of its tasks, and by what an answer is known: pure."""

import io
import json
import wave
from dataclasses import dataclass
from typing import Any, Final

from llmservice_operator.observed import Question
from llmservice_worker.args import Task

Json = dict[str, Any]

_BOUNDARY: Final = "llmservice-probe"
_SAMPLES_PER_S: Final = 16000
_CLIP_S: Final = 1
_JSON: Final[dict[Task, tuple[str, Json]]] = {
    "generate": ("/completions", {"prompt": "Hi", "max_tokens": 1, "temperature": 0}),
    "embed": ("/embeddings", {"input": "Hi"}),
    "score": ("/score", {"text_1": "Hi", "text_2": "Hello"}),
    "classify": ("/classify", {"input": "Hi"}),
}


@dataclass(frozen=True)
class Request:
    """A POST: its path under the base URL, and its body."""

    path: str
    content_type: str
    body: bytes


def asked(question: Question) -> Request:
    """The request of a question."""
    if question.task == "transcribe":
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        return Request("/audio/transcriptions", kind, _form({"model": question.model}, _silence()))
    path, body = _JSON[question.task]
    return Request(path, "application/json", json.dumps({"model": question.model, **body}).encode())


def answer_is_given(task: Task, body: Json) -> bool:
    """Whether the body of a 200 holds what the task gives; of silence an empty text is a good transcript."""
    if task == "transcribe":
        return isinstance(body.get("text"), str)
    if task == "generate":
        return bool((body.get("usage") or {}).get("completion_tokens"))
    return isinstance(body.get("data"), list) and bool(body["data"])


def _silence() -> bytes:
    """A second of silence as a WAV file: an engine hears it as it hears any other clip."""
    file = io.BytesIO()
    with wave.open(file, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(_SAMPLES_PER_S)
        clip.writeframes(bytes(2 * _SAMPLES_PER_S * _CLIP_S))
    return file.getvalue()


def _form(fields: dict[str, str], clip: bytes) -> bytes:
    """A multipart form with the clip as its file."""
    parts = [(f'name="{name}"', "", value.encode()) for name, value in fields.items()]
    parts.append(('name="file"; filename="silence.wav"', "Content-Type: audio/wav\r\n", clip))
    texts = [
        f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {names}\r\n{kind}\r\n".encode() + value + b"\r\n"
        for names, kind, value in parts
    ]
    return b"".join(texts) + f"--{_BOUNDARY}--\r\n".encode()
