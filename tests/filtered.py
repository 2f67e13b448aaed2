"""A command in a process under a real seccomp filter, as a container engine sets one."""

import ctypes
import os
import subprocess
from collections.abc import Sequence

from snekhouse.profile.bpf import compile_filter
from snekhouse.profile.seccomp_rules import ALLOW, Group, Rule

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2  # prctl(2)
_INSTRUCTION_SIZE = 8


class _Program(ctypes.Structure):
    """struct sock_fprog (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def run_under(rules: Sequence[Rule], command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end.

    Args:
        rules: What the filter refuses; all else is allowed.
        command: The program and its arguments.
    """
    instructions = compile_filter((Group("engine", "", tuple(rules)),), default=ALLOW)
    program = _Program(len(instructions) // _INSTRUCTION_SIZE, instructions)
    libc = ctypes.CDLL(None, use_errno=True)

    def confine() -> None:
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
            os._exit(ctypes.get_errno())

    return subprocess.run(command, preexec_fn=confine, capture_output=True, text=True, check=False)
