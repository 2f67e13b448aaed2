"""How output is compared with what was expected."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snekhouse.judging.comparison import Match, Tolerance, exact, tokens, trimmed, within

NEAR = within(Tolerance(1e-6, 1e-6))
ABSOLUTE = within(Tolerance(absolute=0.5))
RELATIVE = within(Tolerance(relative=0.1))

ROWS: list[tuple[Match, str, str, bool]] = [
    (exact, "a\n", "a\n", True),
    (exact, "a\n", "a", False),
    (exact, "a", "A", False),
    (trimmed, "a\nb", "a  \nb\t\n\n", True),
    (trimmed, "a\r\nb\r\n", "a\nb", True),
    (trimmed, "", "\n \n", True),
    (trimmed, " a", "a", False),
    (trimmed, "a\n\nb", "a\nb", False),
    (tokens, "1 2\n3", "1\n2 3\n", True),
    (tokens, "1 2 3", "1 2", False),
    (tokens, "12", "1 2", False),
    (tokens, "1.0", "1", False),
    (NEAR, "1.0", "1", True),
    (NEAR, "0.1", "0.1000000999", True),
    (NEAR, "0.1", "0.11", False),
    (NEAR, "1e9", "1000000999", True),
    (NEAR, "1e9", "1000001001", False),
    (NEAR, "nan", "NaN", True),
    (NEAR, "nan", "1", False),
    (NEAR, "inf", "Infinity", True),
    (NEAR, "inf", "-inf", False),
    (NEAR, "inf", "1e308", False),
    (NEAR, "1_000", "1000", False),
    (NEAR, "0x10", "16", False),
    (NEAR, "x 1", "x 1.0", True),
    (NEAR, "x 1", "y 1", False),
    (NEAR, "1 2", "1", False),
    (NEAR, "1\n2", "1 2.0", True),
    (ABSOLUTE, "10", "10.5", True),
    (ABSOLUTE, "10", "10.51", False),
    (RELATIVE, "-10", "-11", True),
    (RELATIVE, "0", "1e-300", False),
    (within(Tolerance()), "1.5", "1.50", True),
]


@pytest.mark.parametrize(("match", "expected", "actual", "matches"), ROWS)
def test_texts_match_or_not(match: Match, expected: str, actual: str, matches: bool) -> None:
    assert (match(expected, actual) is None) is matches


@given(st.text(), st.sampled_from([exact, trimmed, tokens, NEAR]))
def test_a_text_matches_itself(text: str, match: Match) -> None:
    assert match(text, text) is None


@given(st.text(), st.text(), st.sampled_from([exact, trimmed, tokens, NEAR]))
def test_a_difference_is_told_in_few_characters(expected: str, actual: str, match: Match) -> None:
    difference = match(expected * 50, actual * 50)
    if difference:
        assert difference.line >= 1
        assert len(difference.diff) < 16 * 210
        assert len(difference.expected or "") <= 200
        assert len(difference.actual or "") <= 200


def test_the_first_line_that_differs_is_told_with_its_neighbours() -> None:
    expected = "\n".join(map(str, range(100)))
    difference = trimmed(expected, expected.replace("\n50\n", "\nfifty\n"))
    assert difference is not None
    assert (difference.line, difference.expected, difference.actual) == (51, "50", "fifty")
    assert difference.diff.splitlines()[2:] == [
        "@@ -1,7 +1,7 @@",
        " 47",
        " 48",
        " 49",
        "-50",
        "+fifty",
        " 51",
        " 52",
        " 53",
    ]


@pytest.mark.parametrize(
    ("expected", "actual", "line", "told"), [("a\nb", "a", 2, ("b", None)), ("a", "a\nb", 2, (None, "b"))]
)
def test_a_line_that_is_missing_is_told(expected: str, actual: str, line: int, told: tuple[str | None, ...]) -> None:
    difference = trimmed(expected, actual)
    assert difference is not None
    assert (difference.line, (difference.expected, difference.actual)) == (line, told)
