"""A NATS server for tests: the real one, on a free port, that can be stopped and started again."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

_START_S = 10.0


class NatsServer:
    """`nats-server` as its package installs it beside the interpreter."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._port = directory, -1
        self._running: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> "NatsServer":
        """Start, on the same port as before if there was one, and wait until it takes connections."""
        program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"
        ports = self._directory / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir(parents=True)
        self._running = subprocess.Popen(
            [program, "-a", "127.0.0.1", "-p", str(self._port), "--ports_file_dir", str(ports)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.perf_counter() + _START_S
        while not (found := [file for file in ports.iterdir() if file.stat().st_size]):
            assert self._running.poll() is None, "nats-server did not start"
            assert time.perf_counter() < until, "nats-server did not say its port"
            time.sleep(0.01)
        self.url = json.loads(found[0].read_text())["nats"][0]
        self._port = int(self.url.rsplit(":", 1)[1])
        return self

    def stop(self) -> None:
        """End it, if it runs."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None
