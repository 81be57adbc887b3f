"""Commands for HAProxy: few, in a safe order, and never more than they say."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmservice_gateway.desired import NAMES
from llmservice_gateway.mapdiff import Change, batches, changes

MAPS = Path("/run/maps")


@pytest.mark.parametrize(
    ("held", "wanted", "commands"),
    [
        ({}, {}, []),
        ({"keys": {"a": "1"}}, {"keys": {"a": "1"}}, []),
        ({}, {"keys": {"a": "1"}}, ["add map /run/maps/keys.map a 1"]),
        ({"keys": {"a": "1"}}, {"keys": {"a": "2"}}, ["set map /run/maps/keys.map a 2"]),
        ({"keys": {"a": "1"}}, {}, ["del map /run/maps/keys.map a"]),
        (
            {"keys": {"a": "1"}, "routes": {"n/s": "-|0|Keys"}, "models": {"n/m": "n/s"}},
            {"keys": {"b": "1"}, "routes": {"n/t": "-|0|Keys"}, "models": {"n/m": "n/t"}},
            [
                "del map /run/maps/keys.map a",
                "add map /run/maps/keys.map b 1",
                "add map /run/maps/routes.map n/t -|0|Keys",
                "set map /run/maps/models.map n/m n/t",
                "del map /run/maps/routes.map n/s",
            ],
        ),
    ],
)
def test_commands(held: dict[str, dict[str, str]], wanted: dict[str, dict[str, str]], commands: list[str]) -> None:
    assert [change.command(MAPS) for change in changes(held, wanted)] == commands


CONTENTS = st.fixed_dictionaries(
    {name: st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123")) for name in NAMES}
)


@settings(deadline=None)
@given(CONTENTS, CONTENTS)
def test_the_changes_lead_from_one_to_the_other(
    held: dict[str, dict[str, str]], wanted: dict[str, dict[str, str]]
) -> None:
    state = {name: dict(entries) for name, entries in held.items()}
    for change in changes(held, wanted):
        assert change.exists == (change.key in state[change.map])
        if change.value is None:
            del state[change.map][change.key]
        else:
            state[change.map][change.key] = change.value
    assert state == wanted


@pytest.mark.parametrize("text", ["a b", "a;b", "a\n", "", "a\\b", "é", "<<"])
def test_text_that_could_be_another_command_is_refused(text: str) -> None:
    for change in (Change("keys", text, "1", exists=False), Change("keys", "a", text or " ", exists=False)):
        with pytest.raises(ValueError, match="not safe"):
            change.command(MAPS)


def test_lines_stay_within_their_size() -> None:
    assert list(batches([], 10)) == []
    assert list(batches(["aaaa", "bbbb", "cccc", "d" * 20], 10)) == ["aaaa;bbbb", "cccc", "d" * 20]
