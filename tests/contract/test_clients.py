"""What real clients of the peer send."""

from contract.peerlike import Peerlike, upload


def test_a_bot_sends_its_program_as_main_py(peer: Peerlike) -> None:
    files = [upload("main.py", "import sys; print(sys.argv, __name__, __file__)"), upload("data.csv", "1,2")]
    answer = peer.run(args=["main.py"], files=files)
    shown = "/home/main.py" if peer.version >= (3, 9) else "main.py"
    assert (answer["stdout"], answer["returncode"]) == (f"['main.py'] __main__ {shown}\n", 0)
    assert answer["files"] == []


def test_a_bot_measures_with_timeit(peer: Peerlike) -> None:
    # Sleeping takes as long on every machine; Python 3.6 repeats a quick statement for up to 8 s, and has 6.
    answer = peer.run(args=["-m", "timeit", "-s", "import time", "time.sleep(0.05)"])
    assert answer["returncode"] == 0
    assert "best of " in answer["stdout"]


def test_a_bot_shows_a_traceback_of_main_py(peer: Peerlike) -> None:
    told = peer.prints(args=["main.py"], files=[upload("main.py", "def f():\n    1/0\nf()\n")])
    assert "ZeroDivisionError" in told
    assert told.count("main.py") == 2
    assert "snekhouse" not in told


def test_another_passes_options_of_the_interpreter(peer: Peerlike) -> None:
    code = "import sys; print(sys._xoptions, sys.argv)"
    assert peer.prints(code, args=["-X", "frozen_modules=off", "-c"]) == "{'frozen_modules': 'off'} ['-c']\n"


def test_a_third_takes_the_return_code_for_a_number(peer: Peerlike) -> None:
    for code in ("", "1/0", "import os; os.abort()"):
        assert int(peer.run(code)["returncode"]) in {0, 1, 139}


def test_a_health_check_asks_with_head(peer: Peerlike) -> None:
    assert peer.client.head("/eval").status_code == 405


def test_a_base_url_may_end_with_a_slash(peer: Peerlike) -> None:
    for path in ("//eval", "///eval", f"//eval/{peer.runtime}"):
        response = peer.client.post(f"{peer.client.base_url!s}".rstrip("/") + path, json={"input": "print(1)"})
        assert (response.status_code, response.json()["stdout"]) == (200, "1\n")
