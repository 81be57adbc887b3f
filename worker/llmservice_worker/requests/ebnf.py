"""Grammars (EBNF as llama.cpp writes it, or Lark) that an engine may be asked to compile: their repeats are bounded."""

import math
import re
from collections.abc import Iterator
from typing import Final

from llmservice_worker.requests.patterns import pattern_size

REPEATS: Final = 8192
GRAMMAR_SIZE: Final = 2**16
"""Most symbols that a grammar may come to when its bounded repeats are written out."""

# Possessive, and closed by the line's end too: what is not well-formed must not cost more than one look.
_REPEAT: Final = re.compile(r"\{[\s\d,]*+\}|~\s*+\d++(?:\s*+\.\.\s*+\d++)?")
_TOKEN: Final = re.compile(
    r"""(?P<comment>\#[^\n]*+|//[^\n]*+)
    |(?P<repeat>"""
    + _REPEAT.pattern
    + r""")
    |(?P<pattern>/(?:\\.|[^/\\\n])++/?)
    |(?P<symbol>"(?:\\.|[^"\\\n])*+"?|\[(?:\\.|[^\]\\\n])*+\]?|[\w-]++)
    |(?P<sign>\S)""",
    re.VERBOSE,
)


def check_grammar(grammar: str) -> None:
    """Raises ValueError where a repeat (`{n}`, `{n,m}`, Lark's `~n..m`) is too large, or they are when nested."""
    # In literals too: what is one here need not be one to the engine.
    for repeat in _REPEAT.findall(grammar):
        if _most(repeat) > REPEATS:
            raise ValueError(f"the grammar repeats more than {REPEATS} times: {repeat[:64]}")
    groups, last = [0], 0
    for kind, text in _tokens(grammar):
        if kind == "repeat":
            most = _most(text)
            groups[-1] += last * (most - 1)
            last *= most
        elif text == "(":
            groups.append(0)
        elif text == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif kind != "sign":
            last = pattern_size(text[1:].removesuffix("/")) if kind == "pattern" else _symbol_size(text)
            groups[-1] += last
        if groups[-1] > GRAMMAR_SIZE:
            raise ValueError(f"the grammar's repeats, multiplied where they nest, come to more than {GRAMMAR_SIZE}")


def _tokens(grammar: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(grammar):
        if found.lastgroup is not None and found.lastgroup != "comment":
            yield found.lastgroup, found[0]


def _symbol_size(text: str) -> int:
    """One; of Lark's optional part in brackets, which reads as a class of characters here, its repeats multiplied."""
    return math.prod(min(_most(repeat), REPEATS) for repeat in _REPEAT.findall(text))


def _most(repeat: str) -> int:
    """The largest number of a repeat, at least 1."""
    # More digits than any bound has are not worth reading; int() refuses some thousands of them.
    return (
        max((int(digits) if len(digits) < 10 else REPEATS + 1 for digits in re.findall(r"\d+", repeat)), default=1) or 1
    )
