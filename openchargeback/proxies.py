"""Which address a request comes from, and whose word about it counts. Knows no request: plain texts in and out."""

import ipaddress
from collections.abc import Iterable

# What stands in TRUSTED_PROXIES for a Unix socket, whose other end has no address.
UNIX = "unix"


class BadProxy(ValueError):
    """An entry of TRUSTED_PROXIES that is no address, no network and not `unix`."""


def require_proxies(trusted: Iterable[str]) -> None:
    """Raise BadProxy for an entry that can be nobody's address."""
    for entry in trusted:
        if entry == UNIX:
            continue
        try:
            ipaddress.ip_network(entry)
        except ValueError as error:
            raise BadProxy(
                f"“{entry}” is no address and no network such as 10.0.0.0/24, and is not “{UNIX}”: {error}."
            ) from error


def is_trusted(address: str, trusted: Iterable[str]) -> bool:
    """Say whether a peer's address is one of the proxies'; an empty one is that of a Unix socket."""
    if not address:
        return UNIX in trusted
    peer = _address(address)
    return peer is not None and any(peer in ipaddress.ip_network(entry) for entry in trusted if entry != UNIX)


def client_of(peer: str, forwarded_for: str, trusted: Iterable[str]) -> str:
    """Return the address of who asks: the last in X-Forwarded-For that no trusted proxy has, else the peer.

    Each proxy adds at the end whom it heard; what stands before a stranger's address is the stranger's own claim.
    """
    trusted = list(trusted)
    if not is_trusted(peer, trusted):
        return peer
    last = peer
    for hop in reversed([hop.strip() for hop in forwarded_for.split(",") if hop.strip()]):
        if _address(hop) is None:
            break
        last = hop
        if not is_trusted(hop, trusted):
            break
    return last


def meta_name(header: str) -> str:
    """Return a header's name as it stands in a request's META: `X-Remote-User` as HTTP_X_REMOTE_USER."""
    name = header.strip().upper().replace("-", "_")
    return name if name.startswith("HTTP_") else f"HTTP_{name}"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # An IPv4 peer of a socket that listens on both.
    return getattr(found, "ipv4_mapped", None) or found
