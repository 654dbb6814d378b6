"""A NATS server for tests: the real one, on a port of its own, that can be stopped and started again."""

import shutil
import subprocess
import sys
from pathlib import Path

from ports import HeldPort

_READY = b"Server is ready"


class NatsServer:
    """`nats-server` as its package installs it beside the interpreter."""

    def __init__(self) -> None:
        self._port = HeldPort()
        self._running: subprocess.Popen[bytes] | None = None
        self.url = f"nats://127.0.0.1:{self._port.number}"

    def start(self) -> "NatsServer":
        """Start and wait until it takes connections."""
        program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"
        command = [program, "-a", "127.0.0.1", "-p", str(self._port.number)]
        self._running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert self._running.stderr is not None
        # what it logs after this fits into the pipe
        assert any(_READY in line for line in self._running.stderr), "nats-server did not start"
        return self

    def stop(self) -> None:
        """End it, if it runs."""
        if self._running is not None:
            self._running.kill()
            self._running.communicate()
            self._running = None

    def release(self) -> None:
        """End it for good: the port goes back to the system."""
        self.stop()
        self._port.release()
