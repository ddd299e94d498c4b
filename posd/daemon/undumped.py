"""No picture of this process on a disk: card numbers and keys are in its memory (D29), the daemon's and a command's.

RLIMIT_CORE alone is not enough: where core_pattern is a pipe (systemd-coredump, apport) the kernel does not look at it.
A process that is not dumpable is written out by nobody, and read (ptrace, /proc/PID/mem) by root only. It must come
before the first secret is read. Swap is the service manager's to keep off (MemorySwapMax=0); `posd doctor` looks.
"""

import ctypes
import resource

PR_SET_DUMPABLE = 4
"""Of prctl(2)."""


def never_dump() -> None:
    """From now on. Raises OSError, which no kernel that posd runs on gives."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)  # which stays: nobody but root could raise it again
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this process cannot be kept from being dumped")
