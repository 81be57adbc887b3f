"""A parsed body against its route's schema: what is wrong first, with the field's path."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from llmservice_worker.errors import Refused
from llmservice_worker.requests.fields import Limits, Request

NOT_FROM_REQUESTS: Final[Mapping[str, str]] = {
    "chat_template": "the chat template is the model's: requests cannot bring one",
    "documents": "documents are not taken: put them into the messages",
    "prompt_embeds": "prompts are text or token ids",
    "kv_transfer_params": "it is the server's",
    "ec_transfer_params": "it is the server's",
    "vllm_xargs": "it is the server's",
    "priority": "the order of requests is the server's",
    "request_id": "send the header x-request-id",
    "mm_processor_kwargs": "how images and audios are read is the server's",
    "media_io_kwargs": "how images and audios are read is the server's",
    "guided_decoding_backend": "the backend is the server's",
    "guided_json": "use structured_outputs.json",
    "guided_regex": "use structured_outputs.regex",
    "guided_choice": "use structured_outputs.choice",
    "guided_grammar": "use structured_outputs.grammar",
    "use_beam_search": "use n",
    "functions": "use tools",
    "function_call": "use tool_choice",
    "previous_response_id": "responses are not kept: send the whole conversation as input",
    "conversation": "responses are not kept: send the whole conversation as input",
    "audio": "the model answers in text",
    "web_search_options": "there is no web search",
}
"""Fields that other servers take, and why not here."""

_TAG: Final = re.compile(r"^<.*>$")
_LONGEST_NAME: Final = 64


def judged(kind: type[Request], body: dict[str, Any], limits: Limits) -> Request:
    """`body` as a valid request; raises Refused (400) that names the field."""
    try:
        return kind.model_validate(body, context=limits)
    except ValidationError as error:
        raise _refused(error) from None


def _refused(error: ValidationError) -> Refused:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = [_short(part) for part in first["loc"] if not _TAG.match(str(part))]
    field = ".".join(path) or None
    if first["type"] == "extra_forbidden":
        why = NOT_FROM_REQUESTS.get(path[-1])
        message = f"Unrecognized request argument supplied: {field}" + (f" ({why})" if why else "")
        return Refused(400, message, field, "unknown_parameter" if why is None else "unsupported_parameter")
    if first["type"] == "missing":
        return Refused(400, f"Missing required parameter: '{field}'.", field, "missing_required_parameter")
    said = "must be an object" if first["type"] == "model_type" else first["msg"].removeprefix("Value error, ")
    return Refused(400, f"{field}: {said}" if field else said, field, "invalid_value")


def _short(part: int | str) -> str:
    text = str(part)
    return text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "…"
