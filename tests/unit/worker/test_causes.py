import pickle

import pytest

from llmservice_worker.cause_line import CAUSE, found_in
from llmservice_worker.causes import StartFailed, root_cause
from llmservice_worker.engine_log import Failure

NAMES = {"/models/claim/smol": "pvc://claim/smol"}
SEE_ABOVE = RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")


def died(status: int) -> RuntimeError:
    return RuntimeError(
        f"Engine core initialization failed. See root cause above. Failed core proc(s): {{'E': {status}}}"
    )


def test_what_the_engines_process_said_first_is_the_cause() -> None:
    kept = [
        Failure("EngineCore failed to start.", "KeyError: 'layers.3'"),
        Failure("something after", "RuntimeError: shut down"),
    ]
    assert root_cause(SEE_ABOVE, kept, NAMES) == "KeyError: 'layers.3'"


def test_words_that_only_point_elsewhere_are_passed_over() -> None:
    kept = [
        Failure("x", "RuntimeError: WorkerProc initialization failed due to an exception, see root cause above"),
        Failure("y", "ValueError: shapes differ"),
    ]
    assert root_cause(SEE_ABOVE, kept, NAMES) == "shapes differ"


def test_an_exception_of_the_replica_itself_is_taken_at_its_root() -> None:
    error = RuntimeError("outer")
    error.__cause__ = KeyError("inner")
    assert root_cause(error, [], NAMES) == "KeyError: 'inner'"


def test_pydantics_wrapping_is_taken_off() -> None:
    text = (
        "Failed to create vLLM engine config: 1 validation error for ModelConfig\n"
        "  Value error, User-specified max_model_len (100000) is greater than 8192 in /models/claim/smol/config.json."
        " [type=value_error, input_value=ArgsKwargs((), {}), input_type=ArgsKwargs]\n"
        "    For further information visit https://errors.example/v/value_error"
    )
    assert root_cause(RuntimeError(text), [], NAMES) == (
        "User-specified max_model_len (100000) is greater than 8192 in pvc://claim/smol/config.json."
    )


def test_the_source_is_named_as_its_owner_names_it_and_other_paths_are_left_out() -> None:
    error = OSError("no /models/claim/smol/x.json, see /opt/venv/lib/a.py")
    assert root_cause(error, [], NAMES) == "no pvc://claim/smol/x.json, see <path>"


def test_a_missing_library_is_named_wherever_it_was_said() -> None:
    kept = [
        Failure(
            "Failed to import vllm._C: ImportError('libnuma.so.1: cannot open shared object file: No such file')", ""
        ),
        Failure("EngineCore failed to start.", "AttributeError: no attribute init_cpu_memory_env"),
    ]
    cause = root_cause(SEE_ABOVE, kept, NAMES)
    assert cause.startswith("a library is missing in the worker image: libnuma.so.1: cannot open shared object file")


@pytest.mark.parametrize(("status", "said"), [(-9, "out of memory"), (-11, "SIGSEGV"), (-4, "SIGILL"), (3, "status 3")])
def test_a_process_that_died_without_a_word_is_told_by_its_exit(status: int, said: str) -> None:
    assert said in root_cause(died(status), [], NAMES)


def test_without_exceptions_the_last_message_speaks() -> None:
    kept = [Failure("first", ""), Failure("No available memory for the cache blocks", "")]
    assert root_cause(SEE_ABOVE, kept, NAMES) == "No available memory for the cache blocks"


def test_the_line_is_found_again_in_what_ray_makes_of_it() -> None:
    failed = StartFailed("no weights\nin pvc://c/m")
    text = (
        f"Deployment failed:\nTraceback ...\nllmservice_worker.causes.StartFailed: {failed}\nThe above\n{CAUSE}second"
    )
    assert found_in(text) == "no weights in pvc://c/m"
    assert found_in("all is well") is None
    assert found_in(f"cut off: {CAUSE}") is None
    assert found_in(f"error='{CAUSE}no libnuma\\nmore'") == "no libnuma"
    assert found_in(f"error='{CAUSE}no libnuma'") == "no libnuma"


def test_the_line_stands_at_the_beginning_of_a_line() -> None:
    assert any(line.startswith(CAUSE) for line in f"Error: {StartFailed('x')}".splitlines())


def test_it_crosses_processes() -> None:
    assert str(pickle.loads(pickle.dumps(StartFailed("why")))) == str(StartFailed("why"))
