"""Prompts of the tasks: our own, and how a template's {fields} are filled in.

A line that names a field which the request does not give is left out, but for the line of the task's main field. What a
request holds is put in as it is, never looked at for fields again; braces not around a field's name are text.
"""

import re
from collections.abc import Mapping
from typing import Final

from llmservice_worker.args import TEMPLATE_FIELDS

_FIELD: Final = re.compile(r"\{([A-Za-z_]+)\}")

DEFAULTS: Final[Mapping[str, str]] = {
    "classify": "{instructions}\nWhich of the categories {labels} does this text belong to?\n\n{text}",
    "summarize": (
        "Summarize this text.\nUse about {words} words.\nUse {sentences} sentences.\nWrite in {language}.\n\n{text}"
    ),
    "translate": (
        "Translate this text into {target}.\nIt is written in {source}.\nAnswer with the translation only.\n\n{text}"
    ),
    "answer": "Answer from this text alone, and say so if it does not hold the answer: {context}\n\n{question}",
    "code": "{instruction}\nWrite it in {language}.\nAnswer with one block of code.\nThe code so far: {code}",
}


class TemplateError(ValueError):
    """A template cannot be used; the message says which field is wrong and what there is."""


def check(task: str, template: str) -> None:
    """Raises TemplateError where `template` names a field that `task` does not have, or lacks the one it needs."""
    fields = TEMPLATE_FIELDS.get(task)
    if fields is None:
        raise TemplateError(f"there is no task '{task}': use one of {', '.join(TEMPLATE_FIELDS)}")
    for name in _FIELD.findall(template):
        if name not in fields:
            known = ", ".join(f"{{{field}}}" for field in fields)
            raise TemplateError(f"the template of {task} names {{{name}}}: it has {known}")
    if fields[0] not in _FIELD.findall(template):
        raise TemplateError(f"the template of {task} must hold {{{fields[0]}}}")


def render(task: str, template: str, values: Mapping[str, str | None]) -> str:
    """The prompt: `values` in the places of their names; the line of the field that the task needs always stays."""
    kept = (line for line in template.split("\n") if _stays(line, TEMPLATE_FIELDS[task][0], values))
    return "\n".join(_filled(line, values) for line in kept).strip("\n")


def _stays(line: str, required: str, values: Mapping[str, str | None]) -> bool:
    named = _FIELD.findall(line)
    return required in named or all(values[name] is not None for name in named)


def _filled(line: str, values: Mapping[str, str | None]) -> str:
    return _FIELD.sub(lambda found: values[found[1]] or "", line)
