"""The least that a transcribing model can be asked: a form with a second of silence; for the operator's probe too."""

import io
import wave
from typing import Final

_BOUNDARY: Final = "llmservice-silence"
_SAMPLES_PER_S: Final = 16_000


def silent_form(model: str) -> tuple[bytes, str]:
    """The body of a request for a transcript by `model`, and its content type."""
    body = b"".join(
        (
            _part('name="model"', "", model.encode()),
            _part('name="file"; filename="silence.wav"', "Content-Type: audio/wav\r\n", _clip()),
            f"--{_BOUNDARY}--\r\n".encode(),
        )
    )
    return body, f"multipart/form-data; boundary={_BOUNDARY}"


def _part(names: str, kind: str, content: bytes) -> bytes:
    return f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {names}\r\n{kind}\r\n".encode() + content + b"\r\n"


def _clip() -> bytes:
    """A second of silence as a WAV file: an engine hears it as it hears any other clip."""
    file = io.BytesIO()
    with wave.open(file, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(_SAMPLES_PER_S)
        clip.writeframes(bytes(2 * _SAMPLES_PER_S))
    return file.getvalue()
