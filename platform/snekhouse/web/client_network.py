"""Clients, as limits count them."""

import ipaddress

from starlette.types import Scope

CLIENT_HEADER = b"x-snekhouse-client"
"""The header by which a worker that passes a request on names the client's network."""

_IPV6_PREFIX = 64
"""Bits of an IPv6 address that name the network of one client (RFC 4291, 2.5.4; RFC 6177)."""


def client_network(host: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address.

    Args:
        host: An address, or another text that names the client.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped:
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def network_of(scope: Scope) -> str:
    """Return the network of the client of a request; empty if it is not known.

    Another worker, which passes requests on over a Unix socket, names it in `CLIENT_HEADER`.

    Args:
        scope: The ASGI scope.
    """
    if scope.get("client"):
        return client_network(scope["client"][0])
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == CLIENT_HEADER), "")
