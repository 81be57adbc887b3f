import time
from contextlib import suppress

import pytest

from llmservice_worker.requests.ebnf import check_grammar
from llmservice_worker.requests.grammar import GRAMMAR_LENGTH


@pytest.mark.parametrize(
    "grammar",
    [
        'root ::= "a"',
        'root ::= ("yes" | "no") ws*\nws ::= [ \\t\\n]+',
        'date ::= [0-9]{4} "-" [0-9]{2} "-" [0-9]{1,2}',
        'root ::= ([a-z]{1,64} " "){1,64}',
        'root ::= "{" [^"}]* "}" # ("x"{8000}){8000}',
        "root ::= " + "a " * 8000,
        'start: "a"~1..9 /[a-z]{2,8}/ // (x~8000)~8000',
        'root ::= "(" [(] ("a"{2}){2} ")"',
        'root ::= ("a"{0}){,3}',
    ],
)
def test_a_bounded_grammar_passes(grammar: str) -> None:
    check_grammar(grammar)


@pytest.mark.parametrize(
    ("grammar", "said"),
    [
        ('root ::= (("a"{1,9999}){1,9999})', "more than 8192 times: {1,9999}"),
        ('root ::= "a"{9999}', "8192 times"),
        ('root ::= "a" { 1 , 9999 }', "8192 times"),
        ('root ::= "a"{9999,}', "8192 times"),
        ('root ::= "a"{' + "9" * 5000 + "}", "8192 times"),
        ('start: "a"~9999', "8192 times"),
        ('start: "a" ~ 1 .. 9999', "8192 times"),
        ('root ::= (("a"{1,999}){1,999})', "where they nest"),
        ('root ::= ("a" ("b"{300} | "c"){300})', "where they nest"),
        ('root ::= (("a"{300}) {300})', "where they nest"),
        ('root ::= ([)("]{300} "x" | "(" "\\""){300}', "where they nest"),
        ('root ::= # (\n("a"{300}\n){300}', "where they nest"),
        ('start: ("a"~300)~1..300', "where they nest"),
        ('start: ["a"~300]~300', "where they nest"),
        ("start: /a{300}/~300", "where they nest"),
        ("start: /(a+)+/", "nests"),
        ("root ::= " + '"a"{8000} ' * 9, "come to more than"),
    ],
)
def test_a_grammar_whose_repeats_blow_up_is_refused(grammar: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_grammar(grammar)


@pytest.mark.parametrize("sign", ['"', "[", "/", "/\\", '"\\', "{", "{1", "{" + "1" * 50, "~ ", "(", ")", "[\\", "#"])
def test_what_is_never_closed_costs_one_look(sign: str) -> None:
    begun = time.process_time()
    with suppress(ValueError):
        check_grammar((sign * GRAMMAR_LENGTH)[:GRAMMAR_LENGTH])
    assert time.process_time() - begun < 0.5
