"""What is read of a form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_gateway import errors
from llmservice_gateway.body_fields import Fields
from llmservice_gateway.errors import ApiError, Refused
from llmservice_gateway.form_fields import fields

TYPE = "multipart/form-data; boundary=B"
FILE = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(range(256)) * 600 + b"\r\n"
END = b"--B--\r\n"


def field(name: str, value: str) -> bytes:
    return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (END, Fields()),
        (field("model", "m") + FILE + END, Fields("m")),
        (FILE + field("model", "m") + END, Fields("m")),
        (FILE + field("stream", "True") + field("model", "a/b:c") + END, Fields("a/b:c", stream=True)),
        (field("stream", "false") + field("models", "x") + END, Fields()),
        (field("model", "").replace(b'name="model"', b"NAME=model") + END, Fields("")),
        (field("model", "m").replace(b"Content-Disp", b"CONTENT-DISP") + END, Fields("m")),
        (field("model", "é") + END, Fields("é")),
    ],
)
def test_taken(raw: bytes, found: Fields) -> None:
    assert fields(TYPE, raw) == found


@pytest.mark.parametrize(
    ("content_type", "raw", "error"),
    [
        ("multipart/form-data", END, errors.FORM_NOT_SOUND),
        ("multipart/form-data; boundary=", END, errors.FORM_NOT_SOUND),
        (TYPE, b"", errors.FORM_NOT_SOUND),
        (TYPE, b"hello", errors.FORM_NOT_SOUND),
        (TYPE, field("model", "m"), errors.FORM_NOT_SOUND),
        (TYPE, FILE[:-100], errors.FORM_NOT_SOUND),
        (TYPE, field("model", "m") + FILE + field("model", "n") + END, errors.MODEL_TWICE),
        (TYPE, field("stream", "1") + field("stream", "0") + END, errors.FORM_NOT_SOUND),
        (TYPE, field("a", "b") * 65 + END, errors.BODY_TOO_COMPLEX),
    ],
)
def test_refused(content_type: str, raw: bytes, error: ApiError) -> None:
    with pytest.raises(Refused) as refused:
        fields(content_type, raw)
    assert refused.value.error is error


def outcome(content_type: str, raw: bytes) -> int:
    """200, or the status of the refusal."""
    try:
        fields(content_type, raw)
    except Refused as refused:
        return refused.error.status
    return 200


@given(st.text(), st.binary())
def test_any_bytes_are_taken_or_refused(content_type: str, raw: bytes) -> None:
    for kind in (content_type, TYPE):
        assert outcome(kind, field("model", "m") + raw) in (200, 400)
