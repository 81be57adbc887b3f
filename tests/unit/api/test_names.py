"""Names that more than one part must agree on."""

from hypothesis import given
from hypothesis import strategies as st

from llmservice_api.names import LABEL_REVISION, LABEL_SERVICE, NAME_MAX, content_hash, labels, revision
from llmservice_api.reasons import ConditionType, Reason

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_a_hash_does_not_hang_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert content_hash(value) == content_hash(dict(reversed(value.items())))


@given(VALUES)
def test_a_revision_fits_kuberays_limit(value: object) -> None:
    assert len(revision("n" * NAME_MAX, {"args": value})) == 47


def test_the_hash_is_what_it_was() -> None:
    """It stands in the names of running revisions: another function would roll every service out anew."""
    assert revision("m", {"a": 1, "b": ["x", None]}) == "m-" + content_hash({"b": ["x", None], "a": 1})
    assert content_hash({"a": 1}, 12) == "015abd7f5cc5"


def test_labels() -> None:
    found = labels("m", "engine", "m-abc123")
    assert sum(name.startswith("app.kubernetes.io/") for name in found) == 6
    assert (found[LABEL_SERVICE], found[LABEL_REVISION]) == ("m", "m-abc123")
    assert LABEL_REVISION not in labels("m", "engine")


def test_reasons_are_camel_case_words() -> None:
    assert all(word.isalnum() and word[0].isupper() for word in [*Reason, *ConditionType])
