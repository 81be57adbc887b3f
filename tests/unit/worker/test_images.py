import io
import struct
import zlib

import pytest
from PIL import Image

from llmservice_worker.errors import Refused
from llmservice_worker.images import FORMATS, PIXELS, pixels
from tests.unit.worker.asgi_apps import error_of
from tests.unit.worker.pictures import picture


def refusal(content: bytes) -> str:
    with pytest.raises(Refused) as refused:
        pixels(content)
    assert refused.value.status == 400
    message: str = error_of(refused.value.body)["message"]
    return message


@pytest.mark.parametrize("kind", FORMATS)
def test_pixels_are_counted_in_each_format(kind: str) -> None:
    assert pixels(picture(30, 20, kind)) == 600


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "EPS"])
def test_other_formats_are_not_even_parsed(kind: str) -> None:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, kind)
    assert "send PNG, JPEG, WEBP, GIF" in refusal(file.getvalue())


@pytest.mark.parametrize("content", [b"", b"RIFF", b"<svg/>", picture(8, 8)[:20], b"\x89PNG\r\n\x1a\n" + b"\0" * 64])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    assert "cannot be read" in refusal(content)


@pytest.mark.parametrize("side", [5793, 10_000, 20_000, 2**31 - 1])
def test_what_would_be_too_large_is_refused_by_its_head_alone(side: int) -> None:
    assert side**2 > PIXELS
    assert "at most 32 megapixels" in refusal(head_of_png(side, side))


def head_of_png(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    begin = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return begin + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
