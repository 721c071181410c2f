"""Which address a request comes from, and whose word about it counts. Knows no request: plain texts in and out."""

import ipaddress
import re
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
    # Written in one way only, here and below: locks and limits count by it.
    last = str(_address(peer) or peer)
    if not is_trusted(peer, trusted):
        return last
    for hop in reversed([hop.strip() for hop in forwarded_for.split(",") if hop.strip()]):
        found = _address(_without_port(hop))
        if found is None:
            break
        last = str(found)
        if not is_trusted(last, trusted):
            break
    return last


def is_https(forwarded_proto: str) -> bool:
    """Say whether X-Forwarded-Proto means https all the way: each proxy of several may have added what it saw."""
    schemes = [each.strip().lower() for each in forwarded_proto.split(",")]
    return all(each == "https" for each in schemes)


def meta_name(header: str) -> str:
    """Return a header's name as it stands in a request's META: `X-Remote-User` as HTTP_X_REMOTE_USER."""
    name = header.strip().upper().replace("-", "_")
    return name if name.startswith("HTTP_") else f"HTTP_{name}"


def _without_port(hop: str) -> str:
    """Return a hop's address: some proxies write 192.0.2.7:51234, [2001:db8::7] or "[2001:db8::7]:51234"."""
    hop = hop.strip('"')
    if hop.startswith("["):
        address, closed, rest = hop[1:].partition("]")
        return address if closed and (not rest or _is_port(rest)) else ""
    address, colon, port = hop.rpartition(":")
    # One colon alone: more are those of an IPv6 address.
    return address if colon and ":" not in address and _is_port(f":{port}") else hop


def _is_port(text: str) -> bool:
    return bool(re.fullmatch(r":[0-9]{1,5}", text))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        # An IPv4 peer of a socket that listens on both; and no name of a network card, which no database takes.
        return found.ipv4_mapped or ipaddress.IPv6Address(int(found))
    return found
