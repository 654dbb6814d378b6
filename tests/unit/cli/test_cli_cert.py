"""`kaa cert`."""

import asyncio
import json
import ssl
import subprocess
from pathlib import Path

import pytest

from kaa.app import KaaConfig, serving
from kaa.core.certificates import Authority, described
from kaa.core.clock import SystemClock
from kaa.remote import Remote

TLS = Path("kaa-data/tls")
CREDENTIALS = "/cm/api/v1/x509-credentials"


@pytest.fixture
def made(run):
    """Make certificates in an empty directory, and give what was said of each file."""

    def invoke(*arguments):
        result = run("cert", "init", *arguments, "--json")
        assert result.exit_code == 0, result.output
        return [(Path(one["file"]).name, one["state"], one["note"]) for one in json.loads(result.stdout)]

    return invoke


def modes(directory):
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir() if path.is_file()}


def opens(host):
    """Whether a client that trusts the authority takes the server's certificate for that host."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=TLS / "ca.pem")
    server.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return True


class TestMaking:
    def test_an_authority_and_a_servers_certificate_are_made_that_open_connections(self, made, monkeypatch):
        monkeypatch.setattr("socket.gethostname", lambda: "gateway-7")
        hosts = "for gateway-7, localhost, 127.0.0.1, ::1"
        assert made() == [("ca.pem", "made", ""), ("server.pem", "made", hosts)]
        assert modes(TLS) == {"ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o644, "server.key": 0o600}
        assert TLS.stat().st_mode & 0o777 == 0o700
        assert Path("kaa-data").stat().st_mode & 0o777 == 0o700
        found = {host: opens(host) for host in ("localhost", "127.0.0.1", "::1", "gateway-7", "example.org")}
        assert found == {"localhost": True, "127.0.0.1": True, "::1": True, "gateway-7": True, "example.org": False}

    def test_names_and_addresses_may_be_given(self, made):
        made("--host", "iot.example", "--host", "10.1.2.3", "--host", "localhost")
        assert described((TLS / "server.pem").read_text()).hosts == (
            "iot.example",
            "localhost",
            "10.1.2.3",
            "127.0.0.1",
            "::1",
        )

    def test_a_machine_whose_name_cannot_stand_there_is_reached_as_localhost(self, made, monkeypatch):
        monkeypatch.setattr("socket.gethostname", lambda: "büro")
        assert made()[1][2] == "for localhost, 127.0.0.1, ::1"

    def test_what_is_there_is_kept(self, made):
        made("--client", "gateway")
        before = {path: path.read_bytes() for path in TLS.rglob("*") if path.is_file()}
        again = made("--client", "gateway", "--client", "gateway", "--host", "localhost")
        assert [(name, state) for name, state, _ in again] == [
            ("ca.pem", "kept"),
            ("server.pem", "kept"),
            ("gateway.pem", "kept"),
        ]
        assert again[1][2] == ""
        assert {path: path.read_bytes() for path in TLS.rglob("*") if path.is_file()} == before

    def test_a_name_that_a_kept_certificate_lacks_is_said(self, made):
        made()
        note = made("--host", "iot.example")[1][2]
        assert note.startswith("does not hold for iot.example; delete server.pem")

    def test_one_that_ends_soon_or_has_ended_is_said(self, made):
        now, day = SystemClock().now_ms(), 86_400_000
        TLS.mkdir(parents=True)
        authority = Authority.of(TLS, now_ms=now - 10 * 365 * day + 5 * day + 1_000)
        issued = authority.issue_client("old", now_ms=now - 2 * day, lifetime_ms=day)
        (TLS / "old.pem").write_text(issued.certificate.pem)
        (TLS / "old.key").write_text(issued.private_key)
        notes = {name: note for name, _, note in made("--client", "old")}
        assert (notes["ca.pem"], notes["old.pem"]) == ("it ends in 5 days", "it has ended")

    def test_the_directory_may_be_given(self, made, tmp_path):
        made("--data-dir", str(tmp_path / "other"))
        assert (tmp_path / "other" / "tls" / "server.key").exists()

    def test_in_a_pipe_the_parts_are_separated_by_tabs(self, run):
        lines = run("cert", "init").stdout.splitlines()
        assert [line.split("\t")[:2] for line in lines] == [
            ["kaa-data/tls/ca.pem", "made"],
            ["kaa-data/tls/server.pem", "made"],
        ]


class TestWrongUse:
    @pytest.mark.parametrize("name", ["ca", "server", "", "a/b", "..", ".hidden", "x" * 65, "a b", "ä"])
    def test_a_client_whose_name_cannot_be_a_file_is_refused_before_anything_is_made(self, run, name):
        result = run("cert", "init", "--client", name)
        assert (result.exit_code, "--client" in result.stderr) == (2, True)
        assert not TLS.exists()

    def test_a_host_that_is_neither_name_nor_address_is_refused(self, run):
        result = run("cert", "init", "--host", "straße.example")
        assert result.exit_code == 1
        assert "ASCII" in result.stderr

    def test_a_key_without_its_certificate_is_left_alone(self, run):
        TLS.mkdir(parents=True)
        (TLS / "server.key").write_text("of somebody")
        result = run("cert", "init")
        assert (result.exit_code, "server.key" in result.stderr) == (1, True)
        assert (TLS / "server.key").read_text() == "of somebody"

    def test_a_certificate_without_its_key_is_made_anew(self, made):
        made("--client", "gateway")
        (TLS / "gateway.key").unlink()
        assert made("--client", "gateway")[2][:2] == ("gateway.pem", "made")
        command = ["openssl", "pkey", "-in", str(TLS / "gateway.key"), "-pubout"]
        public = subprocess.run(command, capture_output=True, check=True).stdout
        command = ["openssl", "x509", "-in", str(TLS / "gateway.pem"), "-noout", "-pubkey"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == public

    @pytest.mark.parametrize(("file", "word"), [("ca.pem", "no certificate"), ("server.pem", "cannot be used")])
    def test_a_file_that_is_none_is_an_error_in_one_sentence(self, run, made, file, word):
        made()
        (TLS / file).write_text("junk")
        result = run("cert", "init")
        assert (result.exit_code, word in result.stderr, result.stderr.count("\n")) == (1, True, 1)

    def test_a_directory_that_cannot_be_made_is_an_error_in_one_sentence(self, run, tmp_path):
        (tmp_path / "file").write_text("")
        result = run("cert", "init", "--data-dir", str(tmp_path / "file" / "data"))
        assert (result.exit_code, result.stderr.startswith("Error: the certificates in")) == (1, True)


class TestClients:
    def test_a_running_server_knows_it_at_once(self, asked, running):
        found = asked("cert", "init", "--client", "gw-run")
        assert [one["note"] for one in found][-1] == "registered with the server"
        certificate = described((running.data_dir / "tls" / "gw-run.pem").read_text())
        known = Remote.find(running.data_dir).get(CREDENTIALS)
        assert [one["issuer"] for one in known if one["serialNumber"] == certificate.serial] == [certificate.issuer]
        assert list((running.data_dir / "tls" / "clients").iterdir()) == []
        again = asked("cert", "init", "--client", "gw-run")
        assert [one["note"] for one in again][-1] == ""
        assert len(Remote.find(running.data_dir).get(CREDENTIALS)) == len(known)

    def test_what_a_crash_left_waiting_is_registered_the_next_time(self, asked, running):
        asked("cert", "init", "--client", "gw-crash")
        pem = (running.data_dir / "tls" / "gw-crash.pem").read_text()
        waiting = running.data_dir / "tls" / "clients" / "gw-crash.pem"
        waiting.write_text(pem)
        assert asked("cert", "init", "--client", "gw-crash")[-1]["note"] == "registered with the server"
        assert not waiting.exists()

    def test_a_server_that_refuses_it_is_quoted_and_it_waits(self, ask, asked, running, monkeypatch):
        monkeypatch.setattr(Remote, "post", _refuse)
        note = asked("cert", "init", "--client", "gw-refused")[-1]["note"]
        assert note == "the server does not know it yet (not now); it is registered at the next start"
        assert (running.data_dir / "tls" / "clients" / "gw-refused.pem").exists()

    def test_without_a_server_it_waits_for_the_next_start(self, made):
        assert made("--client", "gateway")[2][2] == "no server runs; it is registered at the next start"

        async def known():
            async with serving(KaaConfig(data_dir=Path("kaa-data"), mqtt_port=0, http_port=0)) as server:
                host, port = server.addresses["http"]
                return await asyncio.to_thread(asked, f"http://{host}:{port}")

        def asked(url):
            return Remote(url, None, Path("kaa-data/admin.key").read_text().strip()).get(CREDENTIALS)

        [client] = asyncio.run(known())
        assert (client["commonName"], client["state"]) == ("gateway", "Inactive")
        assert list((TLS / "clients").iterdir()) == []

    def test_a_server_that_left_without_a_word_is_no_server(self, made):
        Path("kaa-data").mkdir()
        Path("kaa-data/server.json").write_text('{"http": "127.0.0.1:1"}')
        Path("kaa-data/admin.key").write_text("key")
        assert made("--client", "gateway")[2][2].startswith("no server runs")


def _refuse(*_):
    from kaa.remote import RemoteError

    raise RemoteError("not now", status=503)
