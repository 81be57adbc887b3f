import pytest

from llmservice_worker.tasks.answers import CodeBlock, Usage, classification, code_block, usage_of, written

USAGE = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)


@pytest.mark.parametrize(
    ("text", "asked", "language", "code"),
    [
        ("```python\nprint(1)\n```", None, "python", "print(1)"),
        ("Here:\n\n```js\nlet a = `b`;\n\nlet c;\n```\nIt adds.", "python", "js", "let a = `b`;\n\nlet c;"),
        ("```\nx = 1\n```", "Python", "Python", "x = 1"),
        ("```c++ title=a\nint x;\n```", None, "c++", "int x;"),
        ("```python\nfirst\n```\n```python\nsecond\n```", None, "python", "first"),
        ("```python\ncut off", None, "python", "cut off"),
        ("  ```go\n  x := 1\n  ```", None, "go", "  x := 1"),
        ("```python\n```", None, "python", ""),
        ("SELECT 1;\n", "SQL", "SQL", "SELECT 1;"),
        ("    indented\n", None, None, "    indented"),
        ("", None, None, ""),
    ],
)
def test_code_is_the_first_block_or_everything(text: str, asked: str | None, language: str | None, code: str) -> None:
    assert code_block(text, asked) == CodeBlock(language=language, code=code)


def test_the_most_probable_label_is_first_and_is_the_answer() -> None:
    found = classification("m", ["a", "b", "c", "d"], [0.2, 0.5, 0.1, 0.2], USAGE)
    assert found.label == "b"
    assert [entry.label for entry in found.probabilities] == ["b", "a", "d", "c"]


def test_tokens_that_scoring_makes_are_not_counted() -> None:
    engine = {"prompt_tokens": 40, "completion_tokens": 4, "total_tokens": 44, "prompt_tokens_details": None}
    assert usage_of(engine, written=False) == Usage(prompt_tokens=40, completion_tokens=0, total_tokens=40)
    assert usage_of(engine) == Usage(prompt_tokens=40, completion_tokens=4, total_tokens=44)


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("summarize", "task.summary"),
        ("translate", "task.translation"),
        ("answer", "task.answer"),
        ("code", "task.code"),
    ],
)
def test_each_task_has_its_type(task: str, kind: str) -> None:
    assert written(task, "m", " out\n", "stop", USAGE, None).object == kind
