"""The prompts of /v1/tasks/… that a service may have in place of ours, checked at admission."""

from typing import Any

from pydantic import Field

from llmservice_api.base import ApiModel, rules
from llmservice_worker.args import TEMPLATE_FIELDS


def _template(task: str) -> Any:
    """The field of one task: which names may stand in braces is decided where they are filled in."""
    names = [f"{{{name}}}" for name in TEMPLATE_FIELDS[task]]
    listed = ", ".join(names)
    known = ", ".join(f"'{name}'" for name in names)
    return Field(
        default=None,
        max_length=8192,
        description=f"Of /v1/tasks/{task}: {listed}.",
        json_schema_extra=rules(
            (f"self.contains('{names[0]}')", f"the template of {task} must hold {names[0]}"),
            (
                f"self.findAll('[{{][A-Za-z_]+[}}]').all(name, name in [{known}])",
                f"the template of {task} names an unknown field: it has {listed}",
            ),
        ),
    )


class TaskTemplates(ApiModel):
    """Prompts of /v1/tasks/…, in place of ours. Fields of the request stand in braces, such as {text}."""

    classify: str | None = _template("classify")
    summarize: str | None = _template("summarize")
    translate: str | None = _template("translate")
    answer: str | None = _template("answer")
    code: str | None = _template("code")
