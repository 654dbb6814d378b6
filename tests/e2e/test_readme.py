"""The lines of the README that can be pasted, pasted."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hosts import KaaProcess

pytestmark = pytest.mark.any_bus

README = Path(__file__).parents[2] / "README.md"
# what starts or installs something, what is shown and not typed, and what takes long
PASSED_OVER = ("pip install", "kaa serve", "pytest", "kp1/", "{", "$ ")
PREAMBLE = """
set -euo pipefail
cd "$DIRECTORY"
kaa() { "$PYTHON" -m kaa "$@"; }
curl() { command curl --fail-with-body "$@"; }
mosquitto_pub() { command mosquitto_pub -h 127.0.0.1 -p "$MQTT_PORT" -V mqttv5 "$@"; }
mosquitto_rr() { command mosquitto_rr -h 127.0.0.1 -p "$MQTT_PORT" -V mqttv5 "$@"; }
"""


def blocks() -> list[str]:
    """Give the fenced blocks that can be pasted, in their order."""
    found = re.findall(r"^```\n(.*?)^```$", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [block for block in found if not block.startswith(PASSED_OVER)]


def test_the_readme_leads_with_the_two_commands() -> None:
    text = README.read_text()
    first, second = text.index("pip install . && kaa serve"), text.index("pip install '.[test]' && pytest")
    assert first < second < text.index("## The first device")


@pytest.mark.skipif(
    shutil.which("mosquitto_rr") is None or shutil.which("curl") is None,
    reason="needs Mosquitto's clients and curl, which the README's lines use",
)
def test_every_block_of_it_can_be_pasted(process: Callable[..., KaaProcess], tmp_path: Path) -> None:
    server = process().start()
    (tmp_path / "kaa-data").symlink_to(server.data_dir)
    given = blocks()
    assert len(given) >= 8
    script = PREAMBLE
    for block in given:
        if block.startswith("URL="):
            block = block.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{server.http[1]}")  # noqa: PLW2901
        script += f"cat >&2 <<'BLOCK'\n{block}BLOCK\n{block}\n"
        if "kaa device add" in block:
            script += """
ADDED=$(kaa device add --app smart-home --version v1 --json)
TOKEN=$(echo "$ADDED" | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["token"])')
ENDPOINT=$(echo "$ADDED" | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["endpointId"])')
"""
        if block.startswith("URL="):
            script += """
TOKEN_ID=$(curl -s -H "Authorization: Bearer $KEY" "$URL/cm/api/v1/endpoints/$ENDPOINT/tokens" |
    "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["content"][0]["endpointTokenId"])')
"""
    done = subprocess.run(
        ["bash", "-c", script],
        env={
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(README.parent),
            "DIRECTORY": str(tmp_path),
            "MQTT_PORT": str(server.mqtt[1]),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert '"auto~temperature"' in done.stdout
    assert "endpointId,timeSeriesName,timestamp,valueName,value" in done.stdout
    assert '"status":"Suspended"' in done.stdout
    assert '"config":{"interval":10}' in done.stdout
    assert '"responsePayload":{"on": true}' in done.stdout
    assert '"link":"https://example.org/1.1.0.bin"' in done.stdout.replace('": "', '":"')
    assert '"offered":1' in done.stdout
    assert '"password":' in done.stdout
