"""Functions of the C library for the fork server. They use only `_ctypes`: programs must not find ctypes imported.

The fork server executes this file. It is written for CPython 3.6 and every later one.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import bootstrap
else:
    import __main__ as bootstrap

_ctypes = bootstrap.borrow("_ctypes")
Integer = type("Integer", (_ctypes._SimpleCData,), {"_type_": "i"})
Pointer = type("Pointer", (_ctypes._SimpleCData,), {"_type_": "P"})  # type: Any
Byte = type("Byte", (_ctypes._SimpleCData,), {"_type_": "B"})
Function = type("Function", (_ctypes.CFuncPtr,), {"_flags_": 1 | 8, "_restype_": Integer})  # cdecl, keeps errno
FUNCTIONS = {
    name: Function(_ctypes.dlsym(_ctypes.dlopen(None, 0), name))
    for name in ("capset", "exit", "ioctl", "memcmp", "memcpy", "mount", "prctl", "setns", "syscall", "unshare")
}


def call(name, *arguments):  # type: (str, int | bytes) -> int
    """Call a function of the C library with 32-bit integers, and bytes where it takes a pointer to them."""
    result = FUNCTIONS[name](*arguments)  # type: int
    if result < 0:
        number = _ctypes.get_errno()
        raise OSError(number, name + ": " + posix.strerror(number))
    return result


def copy(content, address):  # type: (bytes, int) -> None
    """Overwrite bytes, which must be new and unused, with the memory at an address."""
    FUNCTIONS["memcpy"](content, Pointer(address), Pointer(len(content)))


def equals(content, address):  # type: (bytes, int) -> bool
    """Return whether the memory at an address has this content."""
    return not FUNCTIONS["memcmp"](content, Pointer(address), Pointer(len(content)))


def array(content):  # type: (bytes) -> tuple[object, bytes]
    """Copy bytes to a fixed address; return the object that keeps them there, and the address as bytes."""
    kind = type("Array", (_ctypes.Array,), {"_type_": Byte, "_length_": len(content)})  # type: Any
    held = kind.from_buffer_copy(content)
    return held, _ctypes.addressof(held).to_bytes(8, sys.byteorder)
