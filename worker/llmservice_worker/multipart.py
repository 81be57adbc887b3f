"""The fields of a multipart form, without its file's content: what a transcription is judged by."""

from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from llmservice_worker.asgi import Headers, header
from llmservice_worker.errors import Refused

if TYPE_CHECKING:  # the library has the name for type checkers only
    from python_multipart.multipart import MultipartCallbacks

FILE: Final = "file"
_FIELDS: Final = 32
_VALUE: Final = 16 * 1024


def fields(headers: Headers, raw: bytes) -> dict[str, str | list[str]]:
    """The text fields by name (those that end in `[]` as lists); raises Refused (400) where the form is not sound.

    Exactly one file, named `file`; each other field once.
    """
    _, options = parse_options_header(header(headers, b"content-type"))
    boundary = options.get(b"boundary")
    if not boundary:
        raise Refused(400, "The form has no boundary.")
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())
        parser.write(raw)
        parser.finalize()
    except FormParserError:
        raise Refused(400, "The form cannot be read.") from None
    return form.fields()


class _Form:
    """Collects parts as the parser finds them."""

    def __init__(self) -> None:
        self._files = 0
        self._values: dict[str, list[bytes]] = {}
        self._name: str | None = None
        self._header = b""
        self._value = b""
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

    def fields(self) -> dict[str, str | list[str]]:
        if not self._ended or self._files != 1:
            raise Refused(400, f"The form must be whole and hold one file, named '{FILE}'.", FILE)
        try:
            texts = {name: [value.decode() for value in values] for name, values in self._values.items()}
        except UnicodeDecodeError:
            raise Refused(400, "A field of the form is not UTF-8.") from None
        twice = next((name for name, values in texts.items() if len(values) > 1 and not name.endswith("[]")), None)
        if twice is not None:
            raise Refused(400, f"The form has the field '{twice[:64]}' twice.", twice[:64])
        return {name: values if name.endswith("[]") else values[0] for name, values in texts.items()}

    def _begin(self) -> None:
        self._name, self._header, self._value = None, b"", b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end].lower()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._open(options.get(b"name", b"").decode("utf-8", "replace"), b"filename" in options)
        self._header = self._value = b""

    def _open(self, name: str, is_file: bool) -> None:
        if is_file != (name == FILE):
            raise Refused(400, f"The form's file, and nothing else, must be named '{FILE}'.", name[:64])
        if is_file:
            self._files += 1
            return
        self._name = name
        self._values.setdefault(name, []).append(b"")
        if sum(len(values) for values in self._values.values()) > _FIELDS:
            raise Refused(400, f"The form may have at most {_FIELDS} fields.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._name is None:
            return
        values = self._values[self._name]
        values[-1] += data[start:end]
        if len(values[-1]) > _VALUE:
            raise Refused(400, f"A field of the form may have at most {_VALUE // 1024} KiB.", self._name[:64])

    def _end(self) -> None:
        self._ended = True
