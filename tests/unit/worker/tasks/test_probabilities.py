import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_worker.tasks.probabilities import label_probabilities, softmax

SCORES = st.lists(st.floats(-1e6, 0), min_size=2, max_size=64)


@given(SCORES)
def test_probabilities_sum_to_one_and_keep_the_order(scores: list[float]) -> None:
    found = softmax(scores)
    assert math.fsum(found) == pytest.approx(1, abs=1e-12)
    assert all(0 <= probability <= 1 for probability in found)
    by_score = sorted(range(len(scores)), key=scores.__getitem__)
    assert [found[index] for index in by_score] == sorted(found)


@given(SCORES, st.integers(0, 63))
def test_a_dominating_label_wins(scores: list[float], at: int) -> None:
    winner = at % len(scores)
    scores[winner] = max(scores) + 20
    found = softmax(scores)
    assert found[winner] > 0.99


@given(SCORES, st.floats(-1000, 0))
def test_what_is_in_all_scores_does_not_matter(scores: list[float], shift: float) -> None:
    assert softmax([score + shift for score in scores]) == pytest.approx(softmax(scores), abs=1e-6)


@given(SCORES)
def test_a_text_that_says_nothing_leaves_all_labels_alike(scores: list[float]) -> None:
    assert label_probabilities(scores, scores) == pytest.approx([1 / len(scores)] * len(scores))


def test_a_usual_word_does_not_win_for_being_usual() -> None:
    with_text, without_text = [math.log(0.6), math.log(0.2)], [math.log(0.6), math.log(0.1)]
    assert label_probabilities(with_text, without_text) == pytest.approx([1 / 3, 2 / 3])
