"""`kaa refusals` shows what KPC keeps; the answers here are the wire's, laid out in full."""

import http.server
import json
import threading

import pytest

REFUSAL = {
    "id": 1,
    "timestamp": "2026-11-22T09:51:04.185Z",
    "endpointId": "e-1",
    "tokenHash": None,
    "topic": "kp1/home-v1/dcx/*/json/1",
    "statusCode": 400,
    "reason": "the payload is not JSON",
    "payload": '{"a\x1b[31m\t',
    "payloadSize": 8,
}


@pytest.fixture
def site():
    """A site that notes what it is asked, and gives one refusal."""
    asked = []

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            body = json.dumps({"content": [REFUSAL], "totalElements": 1}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_what_a_device_sent_cannot_write_on_the_terminal(run, site):
    url, _ = site
    line = run("refusals", "--url", url, "--key", "k").stdout
    assert line == (
        '2026-11-22T09:51:04.185Z\t400\te-1\tkp1/home-v1/dcx/*/json/1\tthe payload is not JSON\t{"a\\x1b[31m\\t\n'
    )


def test_scripts_get_all_that_is_kept(run, site):
    url, _ = site
    assert json.loads(run("refusals", "--url", url, "--key", "k", "--json").stdout) == [REFUSAL]


def test_the_server_is_asked_for_what_is_wanted(run, site):
    url, asked = site
    run("refusals", "--url", f"{url}/behind/", "--key", "k", "--endpoint", "e 1", "--limit", "5")
    assert asked == [("/behind/kpc/api/v1/refusals?endpointId=e+1&limit=5", "Bearer k")]
