"""Images of one colour: a few bytes each, however many pixels they have."""

import base64
import io

from PIL import Image


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    """A black image in a file of that format."""
    file = io.BytesIO()
    Image.new("1", (width, height)).convert("L" if kind == "WEBP" else "1").save(file, kind)
    return file.getvalue()


def png(width: int, height: int) -> bytes:
    """A black PNG."""
    return picture(width, height)


def data_url(width: int, height: int) -> str:
    """A black PNG as a data: URL."""
    return "data:image/png;base64," + base64.b64encode(png(width, height)).decode()
