"""Clients, as limits count them."""

import ipaddress

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
