"""/v1/tokenize and /v1/detokenize."""

from typing import Annotated

from pydantic import Field, model_validator

from llmservice_worker.requests import fields as f
from llmservice_worker.requests.content import Messages
from llmservice_worker.requests.grammar import Tools


class TokenizeRequest(f.Request):
    """/v1/tokenize: a prompt, or the messages of a chat as the model would see them."""

    prompt: f.Text | None = None
    messages: Messages | None = None
    tools: Tools | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    return_token_strs: bool | None = None
    chat_template_kwargs: f.ThinkingKwargs | None = None

    @model_validator(mode="after")
    def _prompt_or_messages(self) -> "TokenizeRequest":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("must hold either prompt or messages")
        chat = ("tools", "add_generation_prompt", "continue_final_message", "chat_template_kwargs")
        if self.messages is None and any(getattr(self, name) is not None for name in chat):
            raise ValueError(f"{', '.join(chat)} go with messages only")
        if self.continue_final_message and self.add_generation_prompt is not False:
            raise ValueError("continue_final_message needs add_generation_prompt to be false")
        return self


class DetokenizeRequest(f.Request):
    """/v1/detokenize."""

    tokens: Annotated[f.TokenIds, Field(min_length=1)]
