"""From log-likelihoods of labels to probabilities: pure."""

import math
from collections.abc import Sequence


def softmax(scores: Sequence[float]) -> list[float]:
    """Probabilities in proportion to exp(score), which sum to 1; at least one finite score."""
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def label_probabilities(with_text: Sequence[float], without_text: Sequence[float]) -> list[float]:
    """How probable each label is, from its log-likelihood after the prompt with the text and after that without.

    The difference is what the text says for a label; how usual a label's words are, and how long it is, is in both.
    """
    return softmax([given - prior for given, prior in zip(with_text, without_text, strict=True)])
