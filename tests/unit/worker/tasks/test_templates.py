import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmservice_worker.args import TEMPLATE_FIELDS
from llmservice_worker.tasks.requests import REQUESTS, parsed
from llmservice_worker.tasks.templates import DEFAULTS, TemplateError, check, render

GOLDEN = [
    (
        "classify",
        '{"text":"Hi","labels":["a","b c"]}',
        "Which of the categories a, b c does this text belong to?\n\nHi",
    ),
    (
        "classify",
        '{"text":"Hi","labels":["a","b"],"instructions":"Be kind."}',
        "Be kind.\nWhich of the categories a, b does this text belong to?\n\nHi",
    ),
    ("summarize", '{"text":"Long\\n\\nstory"}', "Summarize this text.\n\nLong\n\nstory"),
    (
        "summarize",
        '{"text":"T","words":20,"language":"French"}',
        "Summarize this text.\nUse about 20 words.\nWrite in French.\n\nT",
    ),
    ("summarize", '{"text":"T","sentences":2}', "Summarize this text.\nUse 2 sentences.\n\nT"),
    (
        "translate",
        '{"text":"T","target":"German"}',
        "Translate this text into German.\nAnswer with the translation only.\n\nT",
    ),
    (
        "translate",
        '{"text":"T","target":"German","source":"Dutch"}',
        "Translate this text into German.\nIt is written in Dutch.\nAnswer with the translation only.\n\nT",
    ),
    ("answer", '{"question":"Who?"}', "Who?"),
    (
        "answer",
        '{"question":"Who?","context":"A\\nB"}',
        "Answer from this text alone, and say so if it does not hold the answer: A\nB\n\nWho?",
    ),
    ("code", '{"instruction":"Add."}', "Add.\nAnswer with one block of code."),
    (
        "code",
        '{"instruction":"Add.","language":"Python","code":"x = 1"}',
        "Add.\nWrite it in Python.\nAnswer with one block of code.\nThe code so far: x = 1",
    ),
]


@pytest.mark.parametrize(("task", "body", "prompt"), GOLDEN)
def test_prompts_of_our_templates(task: str, body: str, prompt: str) -> None:
    assert render(task, DEFAULTS[task], parsed(task, body.encode(), "m").values()) == prompt


def test_the_fields_of_templates_are_those_of_the_requests() -> None:
    bodies = {"model": "m", "text": "x", "question": "x", "instruction": "x", "labels": ["a", "b"], "target": "x"}
    for task, fields in TEMPLATE_FIELDS.items():
        request = REQUESTS[task].model_validate(
            {name: bodies[name] for name, field in REQUESTS[task].model_fields.items() if field.is_required()}
        )
        assert set(request.values()) == set(fields)
        assert REQUESTS[task].model_fields[fields[0]].is_required()


@pytest.mark.parametrize("task", TEMPLATE_FIELDS)
def test_our_templates_are_usable(task: str) -> None:
    check(task, DEFAULTS[task])


@pytest.mark.parametrize(
    ("task", "template", "message"),
    [
        ("summarize", "Sum {text} {lenght}", "the template of summarize names {lenght}: it has {text}, {words}"),
        ("translate", "{text.__class__}", "the template of translate must hold {text}"),
        ("answer", "{text}", "names {text}: it has {question}, {context}"),
        ("code", "no field", "the template of code must hold {instruction}"),
        ("paint", "{text}", "there is no task 'paint': use one of classify,"),
    ],
)
def test_a_template_that_cannot_be_used_says_why(task: str, template: str, message: str) -> None:
    with pytest.raises(TemplateError) as refused:
        check(task, template)
    assert message in str(refused.value)


@given(st.text(), st.text())
def test_what_a_request_holds_is_never_filled_in_again(text: str, language: str) -> None:
    values = {"text": "{language}" + text, "words": None, "sentences": None, "language": "{text}" + language}
    prompt = render("summarize", "<{text}|{language}>", values)
    assert prompt == "<{language}" + text + "|{text}" + language + ">"


def test_braces_around_anything_else_are_text() -> None:
    values = {"text": "T", "target": "German", "source": None}
    prompt = render("translate", 'Answer as {"t": "{target}"} {} {0}\n{text}\nFrom {source}', values)
    assert prompt == 'Answer as {"t": "German"} {} {0}\nT'


def test_the_line_of_the_main_field_always_stays() -> None:
    values = {"text": "T", "words": None, "sentences": None, "language": None}
    assert render("summarize", "{words}|{text}\n{words}", values) == "|T"
