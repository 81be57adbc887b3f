"""What may leave the worker in a message: one line, no traceback, no path or address of ours."""

import re
from typing import Final

_FRAME: Final = re.compile(r'\n?[ \t]*File "[^"]*", line \d+(, in \S+)?(\n[ \t]+[^\n]*)?')
_TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\):?.*", re.DOTALL)
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
_MEMORY: Final = re.compile(r" ?\bat 0x[0-9a-fA-F]+|\b0x[0-9a-fA-F]{6,}\b")
_URL: Final = re.compile(r"\b(?:https?|tcp|ipc|file)://[^\s'\"<>)]+")
_PATH: Final = re.compile(r"(?<![\w/.:-])(?!/v1/)/(?:[\w.+@-]+/)+[\w.+@-]*")
_SETTING: Final = re.compile(r" ?Set VLLM_\w+ to [^.]*\.")
"""Advice that only the owner of the engine can follow."""
_ADDRESS: Final = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")

_LONGEST: Final = 600


def one_line(text: str, longest: int = _LONGEST) -> str:
    """`text` in one line of at most `longest` characters, runs of white space as one blank."""
    line = " ".join(_ANSI.sub("", text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def redact(text: str) -> str:
    """`text` in one line, without tracebacks, file paths, URLs, IP addresses and memory addresses."""
    text = _FRAME.sub("", _TRACEBACK.sub("", _ANSI.sub("", text)))
    for pattern, stand_in in (
        (_MEMORY, ""),
        (_SETTING, ""),
        (_URL, "<url>"),
        (_PATH, "<path>"),
        (_ADDRESS, "<address>"),
    ):
        text = pattern.sub(stand_in, text)
    return one_line(text)
