"""Ports that stay a test's own while the server that listens on them is down."""

import socket
import sys


class HeldPort:
    """A free port of 127.0.0.1, held until `release`: bound, but not listened on.

    Whoever listens with SO_REUSEADDR, as servers do, gets it (Linux); the system gives it to nobody else, neither to a
    bind to port 0 nor to a connection that goes out. Elsewhere than on Linux it is let go at once, and only likely
    to be free.
    """

    def __init__(self) -> None:
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.number: int = self._holder.getsockname()[1]
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        """Give it back to the system."""
        self._holder.close()
