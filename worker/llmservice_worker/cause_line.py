"""The line in which a replica says its root cause, through whatever Ray makes of it; for the operator too."""

import re
from typing import Final

CAUSE: Final = "llmservice: cause: "
"""What the line with the root cause begins with, in any text that Ray carries it in."""

_LINE: Final = re.compile(re.escape(CAUSE) + "(.+)")


def found_in(text: str) -> str | None:
    """The first root cause that a text of Ray's carries (a RayService's status, a log); None where there is none.

    Where Ray quotes a message, the line ends in a written-out line end, or in the quote.
    """
    lines = (line.split("\\n")[0].strip().rstrip("\"'") for line in _LINE.findall(text))
    return next((line for line in lines if line), None)
