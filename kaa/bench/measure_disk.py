"""How many bytes a point takes on the disk."""

from pathlib import Path

from kaa.bench.devices import FIELDS
from kaa.bench.measure_throughput import run_once
from kaa.bench.report import Figure, Section, whole
from kaa.bench.server import running_server
from kaa.bench.setup import Say, Setup


def measure(setup: Setup, say: Say) -> Section:
    """Store points as devices send them, stop the server, and weigh its files."""
    with running_server(setup.directory) as server:
        say("disk: storing points")
        topics = tuple(endpoint.topic() for endpoint in server.add_endpoints(setup.connections))
        points = run_once(setup, server.host, server.port, topics).acknowledged * FIELDS
        server.stop()
        size = points_bytes(server.data_dir)
    return Section(
        "disk",
        [Figure("a point on the disk", f"{size / points:.1f} bytes", f"{whole(points)} points")],
        {"points": points, "bytes": size, "bytesPerPoint": round(size / points, 2)},
    )


def points_bytes(data_dir: Path) -> int:
    """Weigh the files of points, with what has not gone from their journals into them."""
    return sum(file.stat().st_size for file in (data_dir / "epts").iterdir())
