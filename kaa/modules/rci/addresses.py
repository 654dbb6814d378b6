"""Where results may be posted: to addresses of the public network, and to those that the configuration allows.

A name may stand for any address, and for another one a moment later. So what is looked at is the address that the
name has just been resolved to, and the connection goes there and nowhere else.
"""

import asyncio
import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from kaa.core.errors import InvalidInput

_LONGEST_URL = 2_048
_THREADS = 4
# what a socket would take for an address without asking anybody, like 127.1: no name ends in a number (URL, 3.5)
_NUMBER_AT_END = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)\.?$", re.ASCII | re.IGNORECASE)

Network = IPv4Network | IPv6Network


class Allowed:
    """Says which addresses may be connected to."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)

    def check(self, text: str) -> URL:
        """Give the URL of a callback; InvalidInput if it is none, or names an address that is not allowed."""
        if len(text) > _LONGEST_URL:
            raise InvalidInput(f"callback: longer than {_LONGEST_URL} characters")
        try:
            url = URL(text)
            host = url.host
        except (ValueError, IndexError) as error:  # yarl has the latter for "http://[]@"
            raise InvalidInput("callback: not a URL") from error
        if url.scheme not in {"http", "https"} or not host:
            raise InvalidInput("callback: expected a URL that begins with http:// or https:// and names a host")
        if url.user is not None or url.password is not None:
            raise InvalidInput("callback: a URL with a user or password is not taken")
        try:
            address = ip_address(host)
        except ValueError:
            if ":" in host or _NUMBER_AT_END.search(host):
                raise InvalidInput("callback: the host is neither a name nor an address in full") from None
            return url  # a name; what it stands for is looked at when it is resolved
        if not self.has(address):
            raise InvalidInput("callback: this address is not allowed; `allowed-callback-networks` can allow it")
        return url

    def has(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether the address may be connected to."""
        if any(address in network for network in self._networks if network.version == address.version):
            return True
        if isinstance(address, IPv6Address):
            if address.ipv4_mapped is not None:
                return self.has(address.ipv4_mapped)
            if address.sixtofour is not None or address.teredo is not None or address.is_site_local:
                return False  # ways round to addresses that are not looked at
        return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


class AllowedResolver(AbstractResolver):
    """Resolves names, and gives only those of their addresses that may be connected to."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        # of its own: a name server that does not answer must not take the threads of others
        self._threads = ThreadPoolExecutor(_THREADS, "rci resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Give the addresses of a name; OSError if there are none that may be connected to."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        )
        results = [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=found_family,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found_family, _, proto, _, address in found
            if self._allowed.has(ip_address(address[0]))
        ]
        if not results:
            raise OSError("the name has no address that may be connected to")
        return results

    async def close(self) -> None:
        """Resolve no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
