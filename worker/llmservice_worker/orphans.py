"""An engine's process ends with its replica's, however that ends: as an orphan it would keep memory and accelerator.

To be preloaded into the fork server that engines are forked from: what is imported there asks the kernel to end each
child once the fork server ends, and that ends with the process that it serves.
"""

import ctypes
import os
import signal
from typing import Final

_SET_PARENT_DEATH_SIGNAL: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def end_with_parent() -> None:
    """Have the kernel end this process when the thread that made it ends; raises OSError where the kernel refuses."""
    if _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


end_with_parent()
os.register_at_fork(after_in_child=end_with_parent)
