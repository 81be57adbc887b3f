"""Regular expressions and JSON schemas that an engine may be asked to compile: bounded before it sees them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

PATTERN_LENGTH: Final = 2048
SCHEMA_BYTES: Final = 64 * 1024
SCHEMA_DEPTH: Final = 64
_SIZE: Final = 10_000
"""Most atoms that a pattern may come to when its bounded repeats are written out."""

_OPEN_ENDED: Final = {"*", "+"}


@dataclass
class _Atom:
    """What a repeat would repeat: how many atoms, and whether it holds a repeat without a bound."""

    size: int = 1
    endless: bool = False


def check_pattern(pattern: str) -> None:
    """Raises ValueError where `pattern` is not readable, or would blow up: endless repeats nested, or too much in all.

    `(a+)+b` is the classic: each of exponentially many ways to split a run is a state to visit.
    """
    if len(pattern) > PATTERN_LENGTH:
        raise ValueError(f"a pattern may have at most {PATTERN_LENGTH} characters")
    groups: list[_Atom] = [_Atom(0)]
    last: _Atom | None = None
    position = 0
    while position < len(pattern):
        sign = pattern[position]
        repeat = _repeat(pattern, position)
        if repeat is not None:
            most, position = repeat
            last = _repeated(groups[-1], last, most)
            continue
        if sign == "(":
            groups.append(_Atom(0))
            last = None
        elif sign == ")":
            last = _closed(groups)
        elif sign in "|^$":
            last = None
        elif sign == "?":
            last = _repeated(groups[-1], last, 1)
        else:
            last = _Atom()
            groups[-1].size += 1
        position = _after(pattern, position)
    if len(groups) != 1:
        raise ValueError("the pattern has an open group")


def _closed(groups: list[_Atom]) -> _Atom:
    if len(groups) == 1:
        raise ValueError("the pattern closes a group that it did not open")
    inner = groups.pop()
    groups[-1].size += inner.size
    groups[-1].endless |= inner.endless
    return inner


def _repeated(group: _Atom, atom: _Atom | None, most: int | None) -> _Atom | None:
    """Account for a repeat of `atom` in `group`; `most` None: without a bound."""
    if atom is None:
        raise ValueError("the pattern repeats nothing")
    if most is None and atom.endless:
        raise ValueError("the pattern nests repeats without a bound, such as (a+)+: give one a bound, such as {1,64}")
    group.size += atom.size * (max(most or 1, 1) - 1)
    group.endless |= most is None
    if group.size > _SIZE:
        raise ValueError(f"the pattern's repeats come to more than {_SIZE} characters")
    return _Atom(atom.size * max(most or 1, 1), atom.endless or most is None)


def _repeat(pattern: str, position: int) -> tuple[int | None, int] | None:
    """The most of the quantifier at `position` (None: no bound) and where it ends; None where there is none."""
    if pattern[position] in _OPEN_ENDED:
        return None, position + 1
    end = pattern.find("}", position)
    if pattern[position] != "{" or end < 0:
        return None
    least, comma, most = pattern[position + 1 : end].partition(",")
    if not least.isdecimal() or (most and not most.isdecimal()) or len(least) > 6 or len(most) > 6:
        return None
    return (None if comma and not most else int(most or least)), end + 1


def _after(pattern: str, position: int) -> int:
    """Where the atom or sign at `position` ends."""
    if pattern[position] == "\\":
        if position + 1 == len(pattern):
            raise ValueError("the pattern ends in a backslash")
        return position + 2
    if pattern.startswith("(?", position):
        return position + 2
    return _class_end(pattern, position) if pattern[position] == "[" else position + 1


def _class_end(pattern: str, position: int) -> int:
    at = position + 2 if pattern.startswith("[^", position) else position + 1
    while at < len(pattern):
        if pattern[at] == "]":
            return at + 1
        at += 2 if pattern[at] == "\\" else 1
    raise ValueError("the pattern has an open character class")


def check_schema(schema: Any) -> None:
    """Raises ValueError where a JSON schema is too large or deep, points outside itself, or holds a bad pattern."""
    if not isinstance(schema, (dict, bool)):
        raise ValueError("a JSON schema must be an object")
    if len(json.dumps(schema, separators=(",", ":"))) > SCHEMA_BYTES:
        raise ValueError(f"a JSON schema may have at most {SCHEMA_BYTES // 1024} KiB")
    for node in _nodes(schema):
        reference = node.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise ValueError("a $ref must point into the schema itself (#/…)")
        pattern = node.get("pattern")
        if isinstance(pattern, str):
            check_pattern(pattern)
        patterned = node.get("patternProperties")
        for key in patterned if isinstance(patterned, dict) else ():
            check_pattern(key)


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    level: list[Any] = [schema]
    for _ in range(SCHEMA_DEPTH):
        yield from (node for node in level if isinstance(node, dict))
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise ValueError(f"a JSON schema may be at most {SCHEMA_DEPTH} levels deep")


def _children(node: Any) -> Iterator[Any]:
    values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return (value for value in values if isinstance(value, (dict, list)))
