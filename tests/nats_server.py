"""A NATS server for tests: the real one, on a port of its own, that can be stopped and started again."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from ports import HeldPort

_START_S = 10.0


class NatsServer:
    """`nats-server` as its package installs it beside the interpreter."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._port = directory, HeldPort()
        self._running: subprocess.Popen[bytes] | None = None
        self.url = f"nats://127.0.0.1:{self._port.number}"

    def start(self) -> "NatsServer":
        """Start and wait until it takes connections."""
        program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"
        ports = self._directory / "ports"  # it writes there when it listens
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir(parents=True)
        self._running = subprocess.Popen(
            [program, "-a", "127.0.0.1", "-p", str(self._port.number), "--ports_file_dir", str(ports)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.perf_counter() + _START_S
        while not any(ports.iterdir()):
            assert self._running.poll() is None, "nats-server did not start"
            assert time.perf_counter() < until, "nats-server does not listen"
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End it, if it runs."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    def release(self) -> None:
        """End it for good: the port goes back to the system."""
        self.stop()
        self._port.release()
