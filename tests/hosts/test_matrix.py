"""The tables of docs/reference/hosts.md, written without a machine."""

from hosts.found import Found
from hosts.matrix import BEGIN, END, WALLS, merged
from hosts.test_hosts import PAGE, SETTINGS

PAGE_BEFORE = f"# Hosts\n\n{BEGIN}\n\n{END}\n\nThe end.\n"
STANDING = dict.fromkeys(WALLS, (True, ""))
WITHOUT_MEMORY = {**STANDING, "cgroup memory": (False, "delegate it: Delegate=yes | or root")}


def served(walls: dict[str, tuple[bool, str]]) -> Found:
    return Found(
        slowness=12,
        seconds=180,
        walls=walls,
        evaluations=["ok", "ok"],
        hogs={"out_of_memory": 1000},
        survived=True,
        drained=True,
        notes={"score": "3.1"},
    )


def test_a_setting_gets_a_row_in_each_table() -> None:
    page = merged(PAGE_BEFORE, {"a": served(WITHOUT_MEMORY)}, ["a"])
    assert "| a | stands | stands | stands | **missing** | stands |" in page
    assert (
        "| a | ok | 1,000 out_of_memory; the server survives | yes | nothing | nothing |  | 3 min, 12 times slower |"
        in page
    )
    assert "| a | cgroup memory | delegate it: Delegate=yes \\| or root |" in page
    assert "| a | score | 3.1 |" in page
    assert page.startswith("# Hosts")
    assert page.endswith("The end.\n")


def test_what_was_not_tried_again_keeps_its_rows() -> None:
    page = merged(PAGE_BEFORE, {"a": served(WITHOUT_MEMORY), "b": served(STANDING)}, ["a", "b"])
    assert merged(page, {"b": served(STANDING)}, ["a", "b"]) == page
    assert merged(page, {}, ["a", "b"]) == page


def test_a_setting_that_got_better_loses_its_remedies() -> None:
    page = merged(PAGE_BEFORE, {"a": served(WITHOUT_MEMORY)}, ["a"])
    page = merged(page, {"a": served(STANDING)}, ["a"])
    assert "**missing**" not in page
    assert "Delegate=yes" not in page


def test_a_setting_that_is_gone_has_no_rows() -> None:
    page = merged(PAGE_BEFORE, {"a": served(STANDING)}, ["a"])
    assert "| a |" not in merged(page, {}, ["b"])


def test_a_server_that_did_not_serve_is_told_with_its_failure() -> None:
    page = merged(PAGE_BEFORE, {"a": Found(slowness=12, failure="waited in vain for the server\nmore")}, ["a"])
    assert "| a | none: waited in vain for the server |" in page


def test_a_server_that_must_not_serve_is_told_to_have_refused() -> None:
    page = merged(PAGE_BEFORE, {"a": Found(slowness=12, walls=WITHOUT_MEMORY, refused=True)}, ["a"])
    assert "| a | the server refuses to start |" in page


def test_a_server_that_ended_is_told() -> None:
    found = served(STANDING)
    found.survived, found.drained = False, None
    found.failure = "guests ended the server"
    found.hogs = {"out_of_memory": 1, "no answer": 9}
    told = merged(PAGE_BEFORE, {"a": found}, ["a"])
    assert "| 1 out_of_memory, 9 no answer; **the server ends** | guests ended the server |" in told


def test_the_page_has_each_setting_at_most_once() -> None:
    """What `make host-test` writes is what it reads again."""
    text = PAGE.read_text()
    titles = [setting.title for setting in SETTINGS.values()]
    assert merged(text, {}, titles) == text
    assert len(set(titles)) == len(titles)
