import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_worker.redaction import one_line, redact


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("plain words", "plain words"),
        ("a\n  b\tc", "a b c"),
        ("in /opt/venv/lib/x.py now", "in <path> now"),
        ("'/models/claim/smol'", "'<path>'"),
        ("GET /v1/models/org/name", "GET /v1/models/org/name"),
        ("model org/name of hf", "model org/name of hf"),
        ("at 10.244.0.7:8000", "at <address>"),
        ("at https://hub.example/x?y=1 now", "at <url> now"),
        ("<Thing object at 0x7f12ab34cd>", "<Thing object>"),
        ('bad: Traceback (most recent call last):\n  File "/a/b.py", line 1\nValueError: x', "bad:"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("Too long (9 s). Set VLLM_MAX_AUDIO_DECODE_DURATION_S to increase this limit.", "Too long (9 s)."),
        ("version 0.29.0 and 1/2", "version 0.29.0 and 1/2"),
    ],
)
def test_what_is_left(text: str, left: str) -> None:
    assert redact(text) == left


@given(st.text())
def test_it_is_one_short_line_and_stays_so(text: str) -> None:
    line = redact(text)
    assert len(line.splitlines()) <= 1
    assert len(line) <= 600
    assert one_line(line) == line


def test_a_long_text_is_cut() -> None:
    assert one_line("x" * 1000, 10) == "x" * 9 + "…"
