"""Foreign texts, cut to a bounded length."""

_CUT = " ... {} more ... "

MESSAGE = 500
"""Characters of a message about a runtime, wherever it is told."""


def cut(text: str, most: int) -> str:
    """Cut the end off a text that is too long, and show that there was more.

    Args:
        text: Any.
        most: Characters that it may have.
    """
    return text if len(text) <= most else text[: most - 4] + " ..."


def shortened(text: str, most: int) -> str:
    """Cut the middle out of a text that is too long, and tell how many characters that was.

    Args:
        text: Any.
        most: Characters of it that stay.
    """
    if len(text) <= most:
        return text
    head = most // 2
    return text[:head] + _CUT.format(len(text) - most) + text[len(text) - (most - head) :]
