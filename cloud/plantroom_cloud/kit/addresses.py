"""Which addresses a request of ours may go to, when somebody else chose the host. Pure.

Only what is known to be public passes: for IPv6 the one block of global unicast, less what carries
IPv4 or tests in it; for IPv4 everything less the special-purpose registry. So a form nobody has
thought of (mapped, compatible, translated, tunnelled) is refused, not let through.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address

_SPECIAL_V4: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared by carriers; 100.100.100.200 tells a cloud's machines secrets
            "127.0.0.0/8",
            "168.63.129.16/32",  # public by number, and yet what Azure answers its machines with
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_GLOBAL_V6: Final = ip_network("2000::/3")
_SPECIAL_V6: Final = tuple(
    map(
        ip_network,
        (
            "2001::/23",  # Teredo, ORCHID, benchmarks
            "2001:db8::/32",
            "2002::/16",  # 6to4: IPv4 inside
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
_INNER: Final = tuple(
    map(
        ip_network,
        (
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "::1/128",
            "fc00::/7",
        ),
    )
)
_METADATA: Final = tuple(map(ip_network, ("100.100.100.200/32", "fd00:ec2::/32", "fd20:ce::/32")))
"""Inside of the blocks above, and never let through: whoever asks there gets a machine's secrets."""


def is_public(address: Address) -> bool:
    """Tell whether `address` is one of the public internet, of a single machine."""
    if isinstance(address, IPv4Address):
        return not _in(address, _SPECIAL_V4)
    return address.scope_id is None and address in _GLOBAL_V6 and not _in(address, _SPECIAL_V6)


def is_inner(address: Address) -> bool:
    """Tell whether a host named in the settings may have `address`: private, or this machine."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    return _in(address, _INNER) and not _in(address, _METADATA)


def parse(text: str) -> Address | None:
    """Return the address that a resolver has written; None where it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _in(address: Address, blocks: Iterable[object]) -> bool:
    return any(address in block for block in blocks)  # type: ignore[operator] # of either version
