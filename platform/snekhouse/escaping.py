"""Escape untrusted text for a terminal: replace characters that a terminal would interpret or hide.

File names, messages of interpreters and requests are untrusted: a control sequence in one could move the cursor, set
the window's title or forge a line.
"""


def escaped(text: str, *, keep: str = "") -> str:
    r"""Replace each character that is not printable by an escape, such as ``\x1b``.

    `str.isprintable` is false for control characters (C0, DEL, C1), line and paragraph separators, format characters
    (the bidirectional overrides among them), surrogates and unassigned code points.

    Args:
        text: The untrusted text.
        keep: Characters to keep as they are, such as a newline.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)
