"""Whether the server may make namespaces; asked in namespaces where it may not."""

import subprocess
import sys

from snekhouse.jail.namespaces import refusal

ASK = "from snekhouse.jail.namespaces import refusal; print(refusal())"


def test_this_host_lets_the_server_make_namespaces() -> None:
    assert refusal() == ""


def test_a_kernel_that_refuses_is_told_with_the_remedy() -> None:
    script = f"echo 0 > /proc/sys/user/max_user_namespaces && exec {sys.executable} -c '{ASK}'"
    asked = ["unshare", "--user", "--map-root-user", "sh", "-c", script]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert said.startswith("the kernel refuses namespaces (")
    assert said.endswith("sysctl user.max_user_namespaces=15000\n")
