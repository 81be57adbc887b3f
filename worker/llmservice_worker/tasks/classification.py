"""classify: the log-likelihood of each label as the model's answer, with the text and without it.

One engine call for all labels. The answer is begun for the model (`_ANSWER`), so that what follows is a label and
nothing else; it is ended too, so that a label is told from a longer one.
"""

from typing import Any, Final

from llmservice_worker.tasks.answers import Classification, classification, usage_of
from llmservice_worker.tasks.engine import COMPLETIONS, TOKENIZE, Engine
from llmservice_worker.tasks.probabilities import label_probabilities
from llmservice_worker.tasks.requests import Classify
from llmservice_worker.tasks.templates import render

_TASK: Final = "classify"
_ANSWER: Final = 'The category of this text is "{}"'

Tokens = list[int]


async def classify(engine: Engine, template: str, request: Classify) -> Classification:
    """The label of the request's text; raises Refused and ClientGone as the engine does."""
    values, model = request.values(), request.model
    prompts = [
        await _tokens(engine, model, {"messages": [{"role": "user", "content": prompt}], "add_generation_prompt": True})
        for prompt in (render(_TASK, template, values), render(_TASK, template, {**values, "text": ""}))
    ]
    answers = [
        await _tokens(engine, model, {"prompt": _ANSWER.format(label), "add_special_tokens": False})
        for label in request.labels
    ]
    scored = await engine.ask(
        COMPLETIONS,
        {
            "model": model,
            "prompt": [prompt + answer for prompt in prompts for answer in answers],
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 0,
        },
        "text",
    )
    choices = sorted(scored["choices"], key=lambda choice: int(choice["index"]))
    scores = [
        log_likelihood(choice["prompt_logprobs"], answer) for choice, answer in zip(choices, answers * 2, strict=True)
    ]
    count = len(answers)
    found = label_probabilities(scores[:count], scores[count:])
    return classification(scored["model"], request.labels, found, usage_of(scored["usage"], written=False))


async def _tokens(engine: Engine, model: str, what: dict[str, Any]) -> Tokens:
    tokens: Tokens = (await engine.ask(TOKENIZE, {"model": model, **what}, "text"))["tokens"]
    return tokens


def log_likelihood(positions: list[dict[str, dict[str, float]] | None], answer: Tokens) -> float:
    """The sum over the last tokens of a prompt, which are those of `answer`, of vLLM's `prompt_logprobs`."""
    total = 0.0
    for token, found in zip(answer, positions[-len(answer) :], strict=True):
        assert found is not None, "only a prompt's first token has no log-probability"
        total += found[str(token)]["logprob"]
    return total
