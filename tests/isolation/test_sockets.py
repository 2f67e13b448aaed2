"""Networks: there are none, of any family."""

import socket

import pytest

from isolation.attacks import Prison, table

FAMILIES = {
    "AX25": 3, "IPX": 4, "APPLETALK": 5, "X25": 9, "KEY": 15, "NETLINK": 16, "PACKET": 17, "RDS": 21, "LLC": 26,
    "CAN": 29, "TIPC": 30, "BLUETOOTH": 31, "ALG": 38, "NFC": 39, "VSOCK": 40, "KCM": 41, "QIPCRTR": 42, "SMC": 43,
    "XDP": 44, "MCTP": 45,
}  # fmt: skip

PROTOCOLS = {
    "SCTP": "socket.AF_INET, socket.SOCK_STREAM, 132",
    "MPTCP": "socket.AF_INET, socket.SOCK_STREAM, 262",
    "DCCP": "socket.AF_INET, 6, 33",
    "UDP-Lite": "socket.AF_INET, socket.SOCK_DGRAM, 136",
    "L2TP": "socket.AF_INET, socket.SOCK_DGRAM, 115",
    "SCTP over IPv6": "socket.AF_INET6, socket.SOCK_SEQPACKET, 132",
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())
def test_a_family_is_not_there(prison: Prison, family: int) -> None:
    for kind in (1, 2, 3, 5):
        prison.attack(f"attempt(lambda: socket.socket({family}, {kind}), errno.EAFNOSUPPORT)")
    prison.attack(f"attempt(lambda: socket.socketpair({family}), errno.EAFNOSUPPORT)")


@table({name: f"attempt(lambda: socket.socket({what}), errno.EPROTONOSUPPORT)" for name, what in PROTOCOLS.items()})
def test_a_protocol_is_not_there(prison: Prison, program: str) -> None:
    prison.attack(program)


@table(
    {
        "loopback": "attempt(lambda: socket.create_connection(('127.0.0.1', 80), 2))",
        "loopback of IPv6": "attempt(lambda: socket.create_connection(('::1', 80), 2))",
        "every address": "attempt(lambda: socket.create_connection(('0.0.0.0', 80), 2))",
        "the metadata of a cloud": "attempt(lambda: socket.create_connection(('169.254.169.254', 80), 2))",
        "the bridge of containers": "attempt(lambda: socket.create_connection(('172.17.0.1', 80), 2))",
        "the world": "attempt(lambda: socket.create_connection(('1.1.1.1', 53), 2))",
        "a datagram": "attempt(lambda: socket.socket(2, 2).sendto(b'x', ('127.0.0.1', 53)))",
        "a datagram to all": "attempt(lambda: socket.socket(2, 2).sendto(b'x', ('224.0.0.1', 5353)))",
        "a name": "attempt(lambda: socket.getaddrinfo('example.com', 80))",
        "a raw socket": "attempt(lambda: socket.socket(2, 3, 1))",
        "a ping": "attempt(lambda: socket.socket(2, 2, 1).sendto(bytes(8), ('127.0.0.1', 0)))",
        "another interface": "s = socket.socket(2, 2)\nattempt(lambda: s.setsockopt(1, 25, b'eth0'))",
        "an interface of its own": "import fcntl\nattempt(lambda: fcntl.ioctl(socket.socket(2, 2), 0x8914, bytes(40)))",
        "a mark on packets": "attempt(lambda: socket.socket(2, 2).setsockopt(1, 36, 1))",
    }
)
def test_nobody_is_reached(prison: Prison, program: str) -> None:
    prison.attack(program)


def test_the_server_is_not_reached(prison: Prison) -> None:
    address = (prison.client.base_url.host, prison.client.base_url.port)
    prison.attack(f"attempt(lambda: socket.create_connection({address!r}, 2))")


def test_abstract_sockets_of_the_host_are_not_there(prison: Prison) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0snekhouse-tests")
        listener.listen()
        prison.attack("attempt(lambda: socket.socket(socket.AF_UNIX).connect('\\0snekhouse-tests'))")
