"""What the gateway reads of a form: its fields `model` and `stream`, wherever they stand. Pure.

With the parser that the worker uses, so that both read the same; in windows, since it lets nobody else run meanwhile.
"""

from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from llmservice_gateway import errors
from llmservice_gateway.body_fields import Fields
from llmservice_gateway.errors import Refused

if TYPE_CHECKING:  # the library has the name for type checkers only
    from python_multipart.multipart import MultipartCallbacks

_WINDOW: Final = 64 * 1024
_PARTS: Final = 64
_READ: Final = (b"model", b"stream")
_LONGEST: Final = 512


def fields(content_type: str, raw: bytes) -> Fields:
    """The fields of a form; raises Refused (400) where it is not sound, or has one of them twice."""
    _, options = parse_options_header(content_type.encode("utf-8", "surrogateescape"))
    boundary = options.get(b"boundary")
    if not boundary:
        raise Refused(errors.FORM_NOT_SOUND)
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        for start in range(0, len(raw), _WINDOW):
            parser.write(raw[start : start + _WINDOW])
        parser.finalize()
    except FormParserError:
        raise Refused(errors.FORM_NOT_SOUND) from None
    return parts.fields()


class _Parts:
    """Keeps, as the parser finds parts, what the fields hold."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._count = 0
        self._name = self._header = self._value = b""
        self._ended = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def fields(self) -> Fields:
        if not self._ended:
            raise Refused(errors.FORM_NOT_SOUND)
        model = self._values.get(b"model")
        stream = self._values.get(b"stream", b"").lower() in (b"true", b"1")
        return Fields(None if model is None else model.decode("utf-8", "replace"), stream)

    def _begin(self) -> None:
        self._count += 1
        if self._count > _PARTS:
            raise Refused(errors.BODY_TOO_COMPLEX)
        self._name = self._header = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end].lower()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._name = options.get(b"name", b"")
            if self._name in _READ and self._name in self._values:
                raise Refused(errors.MODEL_TWICE if self._name == b"model" else errors.FORM_NOT_SOUND)
            if self._name in _READ:
                self._values[self._name] = b""
        self._header = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        known = self._values.get(self._name)
        if known is not None and len(known) < _LONGEST:
            self._values[self._name] = known + data[start : min(end, start + _LONGEST)]

    def _end(self) -> None:
        self._ended = True
