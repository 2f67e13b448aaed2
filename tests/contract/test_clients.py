"""What real clients of snekbox send."""

from contract.snekbox_client import SnekboxClient, upload


def test_a_bot_sends_its_program_as_main_py(snekbox: SnekboxClient) -> None:
    files = [upload("main.py", "import sys; print(sys.argv, __name__, __file__)"), upload("data.csv", "1,2")]
    answer = snekbox.run(args=["main.py"], files=files)
    shown = "/home/main.py" if snekbox.version >= (3, 9) else "main.py"
    assert (answer["stdout"], answer["returncode"]) == (f"['main.py'] __main__ {shown}\n", 0)
    assert answer["files"] == []


def test_a_bot_measures_with_timeit(snekbox: SnekboxClient) -> None:
    # Sleeping takes as long on every machine; Python 3.6 repeats a quick statement for up to 8 s, and has 6.
    answer = snekbox.run(args=["-m", "timeit", "-s", "import time", "time.sleep(0.05)"])
    assert answer["returncode"] == 0
    assert "best of " in answer["stdout"]


def test_a_bot_shows_a_traceback_of_main_py(snekbox: SnekboxClient) -> None:
    told = snekbox.prints(args=["main.py"], files=[upload("main.py", "def f():\n    1/0\nf()\n")])
    assert "ZeroDivisionError" in told
    assert told.count("main.py") == 2
    assert "snekhouse" not in told


def test_another_passes_options_of_the_interpreter(snekbox: SnekboxClient) -> None:
    code = "import sys; print(sys._xoptions, sys.argv)"
    assert snekbox.prints(code, args=["-X", "frozen_modules=off", "-c"]) == "{'frozen_modules': 'off'} ['-c']\n"


def test_a_third_takes_the_return_code_for_a_number(snekbox: SnekboxClient) -> None:
    for code in ("", "1/0", "import os; os.abort()"):
        assert int(snekbox.run(code)["returncode"]) in {0, 1, 139}


def test_a_health_check_asks_with_head(snekbox: SnekboxClient) -> None:
    assert snekbox.client.head("/eval").status_code == 405


def test_a_base_url_may_end_with_a_slash(snekbox: SnekboxClient) -> None:
    for path in ("//eval", "///eval", f"//eval/{snekbox.runtime}"):
        response = snekbox.client.post(f"{snekbox.client.base_url!s}".rstrip("/") + path, json={"input": "print(1)"})
        assert (response.status_code, response.json()["stdout"]) == (200, "1\n")
