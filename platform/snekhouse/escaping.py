"""Foreign text on its way to a terminal: what a terminal could obey or hide is written as an escape.

Names of files, messages of interpreters and requests of clients are foreign: a control sequence in one could move the
cursor, set the window's title, or have a line look like another.
"""


def escaped(text: str, *, keep: str = "") -> str:
    r"""Write each character that is not printable as an escape, such as ``\x1b``.

    Not printable (`str.isprintable`) are control characters (C0, DEL, C1), line and paragraph separators, format
    characters (among them the bidirectional overrides), surrogates, and what Unicode has not assigned.

    Args:
        text: What somebody else wrote.
        keep: Characters that stay, such as a newline.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)
