"""The site over TLS: the same routes behind the same certificate as the devices' door has."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kaa.core.tasks import Tasks
from kaa.core.tls import ServerCertificates

from .site import Site


class HttpsDoor:
    """Opens a site over TLS; handshakes are made with the certificate that is there then."""

    def __init__(self, site: Site, certificates: ServerCertificates, *, tasks: Tasks) -> None:
        self._site, self._certificates, self._tasks = site, certificates, tasks
        self._is_open = False

    @asynccontextmanager
    async def opened(self, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
        """Let requests in while the block lasts; gives host and port, for port 0 takes a free one."""
        context = self._certificates.context
        # called in every handshake, with a server's name or without: the listener keeps the context it was made with
        context.sni_callback = self._take_newest
        following = self._tasks.spawn(self._certificates.follow(), name="https certificate")
        try:
            async with self._site.opened(host, port, tls=context) as address:
                self._is_open = True
                yield address
        finally:
            self._is_open = False
            await self._tasks.stop(following)

    def problem(self) -> str | None:
        """Say what is wrong, for `/health`."""
        return self._certificates.problem if self._is_open else "the HTTPS door is not open"

    def _take_newest(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._certificates.context
