"""What the answer of a cell shows: the value at its end, figures, and how they are encoded for the host.

A session loads this file. It is written for Python 3.6 and every later one, CPython or PyPy.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import bootstrap
else:
    import __main__ as bootstrap

MAX_PARTS = 100
FORMATS = ("html", "markdown", "svg", "png", "jpeg", "json", "latex")
"""The formats of a value besides its repr; each has a method such as `_repr_html_`."""


def shown(value):  # type: (object) -> list[tuple[str, bytes]]
    """Return a value as text, and in the other formats that it offers."""
    if value is None:
        return []
    parts = [("text", repr(value).encode("utf-8", "replace"))]
    for name in FORMATS if not isinstance(value, type) else ():
        content = offered(value, name)
        if isinstance(content, str):
            parts.append((name, content.encode("utf-8", "replace")))
        elif isinstance(content, bytes):
            parts.append((name, bootstrap.borrow("binascii").b2a_base64(content)[:-1]))
    return parts


def offered(value, name):  # type: (object, str) -> object
    """Return a value in a format; None if it does not offer this format, or if its method fails."""
    show = getattr(type(value), "_repr_" + name + "_", None)
    try:
        content = show(value) if callable(show) else None
        return __import__("json").dumps(content) if name == "json" and content is not None else content
    except Exception:
        return None


def drawn():  # type: () -> list[tuple[str, bytes]]
    """Return the open figures of matplotlib as PNG in Base64, and close them."""
    pyplot = sys.modules.get("matplotlib.pyplot")  # type: Any
    parts = []
    for number in pyplot.get_fignums() if pyplot else ():
        image = sys.modules["io"].BytesIO()
        pyplot.figure(number).savefig(image, format="png", bbox_inches="tight")
        pyplot.close(number)
        parts.append(("figure", bootstrap.borrow("binascii").b2a_base64(image.getvalue())[:-1]))
    return parts


def encoded(parts, limit):  # type: (list[tuple[str, bytes]], int) -> bytes
    """Encode parts of an answer: cut texts at the limit, and leave out other parts that do not fit."""
    fields = []  # type: list[bytes]
    for name, whole in parts:
        content = whole[:limit] if name in ("text", "error.name", "error.value") else whole
        if len(content) > limit or len(fields) >= 2 * MAX_PARTS:
            continue
        limit -= len(content)
        fields += [name.encode(), content]
    head = (len(fields) // 2).to_bytes(4, "big")
    return head + b"".join(len(each).to_bytes(4, "big") + each for each in fields)
