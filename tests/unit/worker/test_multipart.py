import pytest

from llmservice_worker.errors import Refused
from llmservice_worker.multipart import fields

HEADERS = [(b"content-type", b'multipart/form-data; boundary="xyz"')]


def part(disposition: str, content: bytes) -> bytes:
    return f"--xyz\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


FILE = part('name="file"; filename="a.wav"', b"RIFF\r\n--xy\x00\xff")
END = b"--xyz--\r\n"


def test_fields_are_read_and_the_file_is_left() -> None:
    raw = part('name="model"', b"org/m") + FILE + part('name="t[]"', b"word") + part('name="t[]"', b"segment") + END
    assert fields(HEADERS, raw) == {"model": "org/m", "t[]": ["word", "segment"]}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense",
        END,
        part('name="model"', b"m") + END,
        FILE,
        FILE + FILE + END,
        part('name="file"', b"text") + END,
        part('name="other"; filename="b.wav"', b"x") + END,
        FILE + part('name="model"', b"a") + part('name="model"', b"b") + END,
        FILE + part('name="model"', b"\xff") + END,
        FILE + part('name="prompt"', b"x" * 20_000) + END,
        FILE + b"".join(part(f'name="f{number}"', b"x") for number in range(40)) + END,
    ],
)
def test_a_form_that_is_not_sound_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        fields(HEADERS, raw)
    assert refused.value.status == 400


def test_a_form_without_a_boundary_is_refused() -> None:
    with pytest.raises(Refused):
        fields([(b"content-type", b"multipart/form-data")], FILE + END)
