"""What tests of media send: a picture of one colour and a tone, made here."""

import base64
import io
import math
import wave
from array import array
from typing import Any

from PIL import Image

_SAMPLES_PER_S = 16_000


def picture(colour: str, width: int = 112, height: int = 112) -> bytes:
    """A PNG of that colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def image_part(content: bytes) -> dict[str, Any]:
    """A part of a message with `content` as a PNG in a data: URL."""
    return linked(f"data:image/png;base64,{base64.b64encode(content).decode()}")


def linked(url: str) -> dict[str, Any]:
    """A part of a message with an image at `url`."""
    return {"type": "image_url", "image_url": {"url": url}}


def tone(hertz: float, seconds: float = 1) -> bytes:
    """A WAV of a sine."""
    count = int(seconds * _SAMPLES_PER_S)
    samples = array("h", (int(20_000 * math.sin(2 * math.pi * hertz * at / _SAMPLES_PER_S)) for at in range(count)))
    file = io.BytesIO()
    with wave.open(file, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(_SAMPLES_PER_S)
        clip.writeframes(samples.tobytes())
    return file.getvalue()
