"""A request's body: read within a bound, and parsed strictly (no duplicate keys, depth, NaN or broken text)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json, to_json

from llmservice_worker.asgi import Headers, Message, Receive, header
from llmservice_worker.errors import Refused

JSON_BYTES: Final = 8 * 1024 * 1024
_PARTS: Final = 300_000
"""Brackets are counted in a millisecond; to make a million objects and throw them away would hold all others up."""
_INFINITE: Final = b"Infinity"
"""What a number such as 1e999 comes to; a NaN is refused when a body is parsed."""


class ClientGone(Exception):
    """The client left before its request was whole."""


def check_headers(headers: Headers, content_type: bytes, most: int) -> None:
    """Raises Refused where the body is of another type, encoded, or declared longer than `most` bytes."""
    pairs = list(headers)
    given = header(pairs, b"content-type").partition(b";")[0].strip().lower()
    if given != content_type:
        raise Refused(415, f"The content type is not supported: send {content_type.decode()}.")
    if header(pairs, b"content-encoding").strip().lower() not in (b"", b"identity"):
        raise Refused(415, "The content encoding is not supported: send the body as it is.")
    declared = header(pairs, b"content-length")
    if declared.isdigit() and int(declared[:20]) > most:
        raise _too_large(most)


async def read(receive: Receive, most: int) -> bytes:
    """The whole body; raises Refused (413) past `most` bytes, ClientGone where the client leaves."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def replay(raw: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `raw` first, then what `receive` gives (the client's leaving)."""
    messages: list[Message] = [{"type": "http.request", "body": raw, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def parsed(raw: bytes) -> dict[str, Any]:
    """The JSON object that `raw` is; raises Refused (400). Duplicate keys are found by `check_duplicates`."""
    if raw.count(b"{") + raw.count(b"[") > _PARTS:
        raise Refused(400, f"The body has too many parts: JSON of at most {_PARTS} objects and arrays.")
    try:
        body = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Refused(400, f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise Refused(400, "The body must be a JSON object.")
    return body


def check_duplicates(raw: bytes) -> None:
    """Raises Refused (400) where an object of valid JSON has a key twice: parsers disagree on which one counts."""
    json.loads(raw, object_pairs_hook=_object)


def dumped(body: Mapping[str, Any]) -> bytes:
    """`body` as JSON; raises Refused where a number is too large for any."""
    text = to_json(body)
    # Ten times as fast as json, and without its refusal: asked for where a number, or a text, may be what it refuses.
    if _INFINITE in text:
        _check_numbers(body)
    return text


def digest(*parts: bytes) -> bytes:
    """A digest of `parts`; different where any of them is."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.digest()


def _check_numbers(body: Mapping[str, Any]) -> None:
    try:
        json.dumps(body, allow_nan=False)
    except ValueError:
        raise Refused(400, "A number of the body is out of range.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Refused(400, f"The body has the key '{twice[:64]}' twice.", twice[:64])
    return found


def _too_large(most: int) -> Refused:
    return Refused(413, f"The request is too large: at most {most // 1024**2} MiB.")
