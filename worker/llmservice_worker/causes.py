"""Why an engine did not start, in one line that the operator can find in RayService's status."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from llmservice_worker.cause_line import CAUSE
from llmservice_worker.engine_log import Failure, described, root_exception
from llmservice_worker.redaction import one_line, redact

_SEE_ABOVE: Final = re.compile(r"root cause|EngineDeadError|WorkerProc initialization failed|Engine core init", re.I)
_EXITS: Final = re.compile(r"Failed core proc\(s\): \{[^}]*: (-?\d+)")
_PYDANTIC: Final = re.compile(r"Value error, (.+?)(?: \[type=|\s*For further information|$)", re.DOTALL)
_MISSING_LIBRARY: Final = re.compile(r"\b(lib[\w.+-]+\.so[\w.]*: cannot open shared object file[^'\")]*)")
_PREFIX: Final = re.compile(
    r"^(?:(?:RuntimeError|ValueError|OSError|Exception|AssertionError|Failed to create vLLM engine config): )+"
)
_LONGEST: Final = 320

_SIGNALS: Final = {
    -9: "the engine's process was killed (SIGKILL): most likely out of memory",
    -11: "the engine's process crashed (SIGSEGV)",
    -4: "the engine's process crashed (SIGILL): the CPU lacks an instruction that vLLM was built for",
    -6: "the engine's process aborted (SIGABRT)",
    -7: "the engine's process crashed (SIGBUS): most likely /dev/shm is full",
}


class StartFailed(RuntimeError):
    """The engine did not start; the message holds one line that begins with `llmservice: cause: `."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"\n{CAUSE}{one_line(cause)}\n")
        self.cause = one_line(cause)

    def __reduce__(self) -> tuple[type["StartFailed"], tuple[str]]:
        return type(self), (self.cause,)


def root_cause(error: BaseException, kept: Sequence[Failure], names: Mapping[str, str]) -> str:
    """The one line: what a process of vLLM logged first, else the innermost exception that says something itself.

    `names` maps local paths to what their owner calls them (the mounted directory → pvc://claim/path); other paths
    are left out.
    """
    library = _missing_library(error, kept)
    if library is not None:
        return f"a library is missing in the worker image: {library}"
    told = [failure.exception for failure in kept if failure.exception and not _SEE_ABOVE.search(failure.exception)]
    own = described(root_exception(error))
    if told:
        return _plain(told[0], names)
    if not _SEE_ABOVE.search(own):
        return _plain(own, names)
    exits = _EXITS.search(own)
    if exits:
        return _SIGNALS.get(int(exits[1]), f"the engine's process ended with status {exits[1]} and said nothing")
    said = [failure.message for failure in kept if not _SEE_ABOVE.search(failure.message)]
    return _plain(said[-1] if said else own, names)


def _missing_library(error: BaseException, kept: Sequence[Failure]) -> str | None:
    texts = [described(error), *(part for failure in kept for part in failure)]
    return next((found[1] for found in map(_MISSING_LIBRARY.search, texts) if found), None)


def _plain(text: str, names: Mapping[str, str]) -> str:
    pydantic = _PYDANTIC.search(text)
    text = pydantic[1] if pydantic else text
    marks = {f"\x00{index}\x00": name for index, name in enumerate(names.values())}
    for path, mark in zip(names, marks, strict=True):
        text = text.replace(path, mark)
    text = _PREFIX.sub("", redact(text))
    for mark, name in marks.items():
        text = text.replace(mark, name)
    return one_line(text, _LONGEST)
