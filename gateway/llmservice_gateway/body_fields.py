"""What the gateway reads of a large JSON body: `model` and `stream` at its top. Pure.

Nothing else is made into objects: 8 MiB of small values would take a second and hundreds of MiB. And no step looks at
more than a window, because Python's regular expressions and JSON reader let nobody else run meanwhile. Whether nested
values are sound JSON is the worker's matter: where they are not, it refuses the body.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from llmservice_gateway import errors
from llmservice_gateway.errors import Refused

_WINDOW: Final = 64 * 1024
_PARTS: Final = 300_000
"""Objects and arrays that a worker takes; more are refused here, before they are looked through."""
_MEMBERS: Final = 1000
_LONGEST: Final = 6 * 128 + 2
"""Bytes that 128 characters take at most, each as an escape, with quotes: what is longer names no model."""

_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_SCALAR: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_NESTED: Final = re.compile(rb'[^"{}\[\]]*(?:"[^"]*"[^"{}\[\]]*)*')
"""Up to a bracket, over whole strings."""
_CLOSES: Final = {ord("}"): ord("{"), ord("]"): ord("[")}
_OPENS: Final = frozenset(b"{[")


@dataclass(frozen=True)
class Fields:
    """What the body says of itself."""

    model: str | None = None
    stream: bool = False


def fields(raw: bytes) -> Fields:
    """The fields of a JSON object; raises Refused (400) where it is none, or names `model` twice or as no string."""
    if raw.count(b"{") + raw.count(b"[") > _PARTS:
        raise Refused(errors.BODY_TOO_COMPLEX)
    found: dict[str, bytes] = {}
    for key, value in _Members(raw).all():
        if key == "model" and key in found:
            raise Refused(errors.MODEL_TWICE)
        found[key] = value
    return Fields(_model(found.get("model")), found.get("stream") == b"true")


def _model(value: bytes | None) -> str | None:
    if value is None:
        return None
    if not value.startswith(b'"'):
        raise Refused(errors.MODEL_MISSING)
    return _text(value) if len(value) <= _LONGEST else value[1:129].decode("utf-8", "replace")


def _text(value: bytes) -> str:
    try:
        return str(json.loads(value.decode("utf-8", "replace"), strict=False))
    except ValueError:
        raise Refused(errors.BODY_NOT_JSON) from None


class _Members:
    """Walks over the members of the object at the top."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        # The same without escaped quotes, in one pass: each quote that is left begins a string or ends one.
        self._marks = raw.replace(rb"\\", b"__").replace(rb"\"", b"__")
        self._at = 0

    def all(self) -> "list[tuple[str, bytes]]":
        """Key and value of `model` and `stream`, as often as they stand there."""
        found: list[tuple[str, bytes]] = []
        self._take(b"{")
        if self._next() != ord("}"):
            found += self._member()
            for _ in range(_MEMBERS):
                if self._next() != ord(","):
                    break
                self._at += 1
                found += self._member()
            else:
                raise Refused(errors.BODY_TOO_COMPLEX)
        self._take(b"}")
        if self._next() is not None:
            raise Refused(errors.BODY_NOT_JSON)
        return found

    def _member(self) -> "list[tuple[str, bytes]]":
        key = self._value() if self._next() == ord('"') else b""
        if not key:
            raise Refused(errors.BODY_NOT_JSON)
        self._take(b":")
        self._next()
        value = self._value()
        name = _text(key) if len(key) <= _LONGEST else ""
        return [(name, value)] if name in ("model", "stream") else []

    def _value(self) -> bytes:
        """Moves over the value that begins here."""
        begin = self._at
        first = self._mark()
        if first == ord('"'):
            self._string()
        elif first in _OPENS:
            self._nested()
            return b""
        else:
            self._scalar()
        end = self._at
        return self._raw[begin:end] if end - begin <= _LONGEST else self._raw[begin : begin + _LONGEST + 1]

    def _string(self) -> None:
        end = self._marks.find(b'"', self._at + 1)
        if end < 0:
            raise Refused(errors.BODY_NOT_JSON)
        self._at = end + 1

    def _nested(self) -> None:
        open_ = bytearray()
        while True:
            mark = self._mark()
            if mark is None:
                raise Refused(errors.BODY_NOT_JSON)
            if mark == ord('"'):
                self._string()
            elif mark in _OPENS:
                open_.append(mark)
                self._at += 1
            elif mark in _CLOSES:
                if open_.pop() != _CLOSES[mark]:
                    raise Refused(errors.BODY_NOT_JSON)
                self._at += 1
                if not open_:
                    return
            self._at = self._skip(_NESTED)

    def _scalar(self) -> None:
        match = _SCALAR.match(self._raw, self._at, self._at + _WINDOW)
        if match is None or match.end() == self._at:
            raise Refused(errors.BODY_NOT_JSON)
        self._at = match.end()

    def _skip(self, what: re.Pattern[bytes]) -> int:
        match = what.match(self._marks, self._at, self._at + _WINDOW)
        return match.end() if match else self._at

    def _next(self) -> int | None:
        """The next byte that is no white space, None at the end."""
        while (end := self._skip(_SPACE)) != self._at:
            self._at = end
        return self._mark()

    def _mark(self) -> int | None:
        """The byte that is here, None at the end."""
        return self._marks[self._at] if self._at < len(self._marks) else None

    def _take(self, mark: bytes) -> None:
        if self._next() != mark[0]:
            raise Refused(errors.BODY_NOT_JSON)
        self._at += 1
