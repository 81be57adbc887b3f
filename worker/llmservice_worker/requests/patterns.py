"""Regular expressions and JSON schemas that an engine may be asked to compile: bounded before it sees them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

PATTERN_LENGTH: Final = 2048
SCHEMA_BYTES: Final = 64 * 1024
SCHEMA_DEPTH: Final = 64
LENGTH: Final = 8192
COUNT: Final = 1024
SCHEMA_SIZE: Final = 2**18
"""Most that a schema may come to with its lengths and counts multiplied down the tree, and what stands beside added."""
_LENGTHS: Final = ("minLength", "maxLength")
_COUNTS: Final = ("minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties")
_LONGEST_PATH: Final = 256
_SIZE: Final = 10_000
"""Most atoms that a pattern may come to when its bounded repeats are written out."""

_OPEN_ENDED: Final = {"*", "+"}


@dataclass
class _Atom:
    """What a repeat would repeat: how many atoms, and whether it holds a repeat without a bound."""

    size: int = 1
    endless: bool = False


def pattern_size(pattern: str) -> int:
    """How many atoms `pattern` comes to when its bounded repeats are written out.

    Raises ValueError where it is not readable, or would blow up: endless repeats nested, or too much in all.

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
    return groups[0].size


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
    """Raises ValueError where a JSON schema is too large or deep, points outside itself, or holds a bad pattern.

    Too large is also one whose lengths and counts are: an engine may write each of them out.
    """
    if not isinstance(schema, (dict, bool)):
        raise ValueError("a JSON schema must be an object")
    if len(json.dumps(schema, separators=(",", ":"))) > SCHEMA_BYTES:
        raise ValueError(f"a JSON schema may have at most {SCHEMA_BYTES // 1024} KiB")
    if isinstance(schema, dict):
        _size(schema, ())


def _size(node: Any, path: tuple[str, ...]) -> float:
    """What `node` comes to with its lengths and counts written out: those of a list times what it lists."""
    if len(path) == SCHEMA_DEPTH:
        raise ValueError(f"a JSON schema may be at most {SCHEMA_DEPTH} levels deep")
    sizes = {key: _size(child, (*path, key)) for key, child in _children(node)}
    if isinstance(node, dict):
        once = sizes.pop("properties", 0)  # each has its name: however many an object may have, they do not multiply
        size = once + max(sum(sizes.values()), _text_size(node, path)) * _count(node, path)
    else:
        size = max(sum(sizes.values()), 1)
    if size > SCHEMA_SIZE:
        raise ValueError(f"{_named(path)}: its lengths and counts, multiplied, come to more than {SCHEMA_SIZE}")
    return size


def _text_size(node: dict[str, Any], path: tuple[str, ...]) -> float:
    reference = node.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        raise ValueError("a $ref must point into the schema itself (#/…)")
    patterned = node.get("patternProperties")
    patterns = [node.get("pattern"), *(patterned if isinstance(patterned, dict) else ())]
    sizes = [pattern_size(pattern) for pattern in patterns if isinstance(pattern, str)]
    return max(_bounded(node, path, _LENGTHS, LENGTH), *sizes, 1)


def _count(node: dict[str, Any], path: tuple[str, ...]) -> float:
    return max(_bounded(node, path, _COUNTS, COUNT), 1)


def _bounded(node: dict[str, Any], path: tuple[str, ...], names: Sequence[str], most: int) -> float:
    """The largest of these numbers of `node`; raises ValueError where one is over `most`."""
    found = 0.0
    for name in names:
        value = node.get(name)
        if isinstance(value, (int, float)):  # what is no number is a property of that name, or not valid
            if value > most:
                raise ValueError(f"{_named((*path, name))} may be at most {most}")
            found = max(found, value)
    return found


def _named(path: tuple[str, ...]) -> str:
    return ".".join(path)[-_LONGEST_PATH:] or "the schema"


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    named = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return ((str(name), value) for name, value in named if isinstance(value, (dict, list)))
