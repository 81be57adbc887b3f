"""What an image would take once it is decoded, by its head: a few kilobytes can hold gigabytes of pixels."""

import io
from typing import Final

from PIL import Image

from llmservice_worker.errors import Refused

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")
"""OpenAI's. Each further one is a further parser that anybody can feed."""
PIXELS: Final = 32 * 1024 * 1024
"""Of one image, such as 8192 by 4096: 96 MiB once it is decoded."""


def pixels(content: bytes) -> int:
    """How many pixels an image has; raises Refused (400) where it is no image, or has too many."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            found = image.width * image.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many() from None
    except (OSError, ValueError, SyntaxError, OverflowError):  # what Pillow's parsers raise
        raise Refused(400, f"An image cannot be read: send {', '.join(FORMATS)}.", "url") from None
    if found > PIXELS:
        raise _too_many()
    return found


def _too_many() -> Refused:
    return Refused(400, f"An image may have at most {PIXELS // 1024**2} megapixels.", "url")
