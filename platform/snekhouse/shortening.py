"""Texts cut to a bounded length."""

MESSAGE_SIZE = 500
"""Characters of a message about a runtime, in the log and in answers."""


def cut(text: str, limit: int) -> str:
    """Cut off the end of a text that is too long, and mark the cut.

    Args:
        text: The text.
        limit: Characters of the result at most.
    """
    return text if len(text) <= limit else text[: limit - 4] + " ..."


def shortened(text: str, limit: int) -> str:
    """Cut out the middle of a text that is too long, and write how many characters are missing.

    Args:
        text: The text.
        limit: Characters of the text to keep.
    """
    if len(text) <= limit:
        return text
    head = limit // 2
    return f"{text[:head]} ... {len(text) - limit} more ... {text[len(text) - (limit - head) :]}"
