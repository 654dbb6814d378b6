"""CM: certificates of clients."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from clients import ASK_CERTIFICATE, BASIC, NOW, OLD_CERTIFICATE, X509, add_certificate, add_user, show, start
from fakes.clock import START_MS
from house import House

from kaa.core.certificates import DAY_MS, Authority, described, identity
from kaa.core.clock import SystemClock
from kaa.protocols import cap

AUTHORITY = f"{X509}/root-certificate"


def made_elsewhere(directory: Path, name: str = "gateway", **more: Any) -> str:
    """Make a certificate that another authority has signed."""
    return Authority.of(directory, now_ms=START_MS).issue_client(name, now_ms=START_MS, **more).certificate.pem


def chain(pem: str) -> list[bytes]:
    """Take a chain apart."""
    end = "-----END CERTIFICATE-----\n"
    return [ssl.PEM_cert_to_DER_cert(one + end) for one in pem.split(end)[:-1]]


class TestMaking:
    async def test_chain_and_key_are_shown_once_and_the_key_is_kept_nowhere(self, house: House) -> None:
        await start(house)
        reply = await house.call("POST", X509, {"commonName": "gateway"})
        made = reply.json
        certificate, key = made.pop("certificate"), made.pop("privateKey")
        leaf, authority = chain(certificate)
        assert identity(leaf) == (made["issuer"], made["serialNumber"])
        assert identity(authority)[0] == made["issuer"]
        assert key.startswith("-----BEGIN PRIVATE KEY-----\n")
        assert reply.headers["Location"].endswith(f"{X509}/{made['id']}")
        assert made == {
            "id": made["id"],
            "commonName": "gateway",
            "issuer": made["issuer"],
            "serialNumber": made["serialNumber"],
            "state": "Inactive",
            "notAfter": "2028-02-27T16:00:00.000Z",
            "createdDate": NOW,
            "updatedDate": NOW,
            "lastUseDate": None,
        }
        assert await house.get(X509) == [made]
        assert await house.get(f"{X509}/{made['id']}") == made
        await house.stop()
        secret = key.splitlines()[1].encode()
        assert not any(secret in file.read_bytes() for file in house.directory.rglob("*") if file.is_file())
        await house.open()

    async def test_the_chain_opens_a_tls_connection(self, house: House, tmp_path: Path) -> None:
        now = SystemClock().now_ms()  # OpenSSL has a clock of its own
        house.clock.set(now)
        await start(house)
        made = await add_certificate(house, commonName="gateway")
        authority = (await house.get(AUTHORITY))["certificate"]
        server = Authority.of(house.directory / "tls", now_ms=now).issue_server(["localhost"], now_ms=now)
        ends = []
        for purpose, pem, key in (
            (ssl.PROTOCOL_TLS_SERVER, server.certificate.pem, server.private_key),
            (ssl.PROTOCOL_TLS_CLIENT, made["certificate"], made["privateKey"]),
        ):
            context = ssl.SSLContext(purpose)
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=authority)
            (tmp_path / "pair.pem").write_text(pem + key)
            context.load_cert_chain(tmp_path / "pair.pem")
            ends.append(context)
        seen = handshake(*ends)
        assert seen is not None
        issuer, serial = identity(seen)
        reply = await house.request(ASK_CERTIFICATE, issuer=issuer, serial_number=serial)
        assert (reply.status_code, reply.client_id, reply.tenant_id) == (200, "gateway", "kaa")

    async def test_without_a_name_it_has_its_id(self, house: House) -> None:
        await start(house)
        for body in ({}, None):  # none at all is as good as one with nothing in it
            reply = await house.call("POST", X509, body)
            assert (reply.status, reply.json["commonName"]) == (201, reply.json["id"])

    @pytest.mark.parametrize(("ttl", "days"), [("90d", 90), ("P30D", 30), (7 * 86_400, 7), ("86400", 1)])
    async def test_it_holds_as_long_as_was_said(self, house: House, ttl: Any, days: int) -> None:
        await start(house)
        made = await add_certificate(house, ttl=ttl)
        assert described(made["certificate"]).not_after_ms == START_MS + days * DAY_MS

    async def test_what_makes_no_sense_is_refused_by_field(self, house: House) -> None:
        await start(house)
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"commonName": ""}, "body.commonName"),
            ({"commonName": "x" * 65}, "body.commonName"),
            ({"commonName": "a\nb"}, "body.commonName"),
            ({"commonName": 5}, "body.commonName"),
            ({"ttl": "59s"}, "body.ttl"),
            ({"ttl": "long"}, "body.ttl"),
            ({"ttl": -1}, "body.ttl"),
            ({"ttl": True}, "body.ttl"),
            ({"ttl": "4000d"}, "it would hold longer"),
            ({"certificate": "junk"}, "certificate"),
            ({"certificate": "x" * 65_537}, "body.certificate"),
            ({"certificate": "x", "ttl": "1d"}, "body"),
            ({"certificate": "x", "commonName": "a"}, "body"),
        ]
        for body, field in wrong:
            reply = await house.call("POST", X509, body)
            assert (reply.status, reply.message.startswith(field)) == (400, True), reply
        assert await house.get(X509) == []

    async def test_an_authority_that_cannot_sign_is_named(self, house: House) -> None:
        await start(house)
        await add_certificate(house)
        (house.directory / "tls" / "ca.key").unlink()
        reply = await house.call("POST", X509, {})
        assert (reply.status, "ca.key" in reply.message) == (409, True)
        assert len(await house.get(X509)) == 1

    async def test_a_directory_that_cannot_be_is_refused_for_now(self, house: House) -> None:
        (house.directory / "tls").write_text("a file")
        await start(house)
        assert (await house.call("POST", X509, {})).status == 503
        assert (await house.call("GET", AUTHORITY)).status == 503

    async def test_the_authority_may_lie_elsewhere(self, house: House, tmp_path: Path) -> None:
        directory = tmp_path / "elsewhere"
        authority = Authority.of(directory, now_ms=START_MS).certificate
        await start(house, **{"tls-dir": str(directory)})
        assert (await add_certificate(house))["issuer"] == authority.issuer
        assert await house.get(AUTHORITY) == {"certificate": authority.pem}
        assert not (house.directory / "tls").exists()

    async def test_before_the_first_there_is_no_authority(self, house: House) -> None:
        await start(house)
        assert (await house.call("GET", AUTHORITY)).status == 404


class TestRegistering:
    async def test_one_made_elsewhere_is_known_from_then_on(self, house: House, tmp_path: Path) -> None:
        await start(house)
        pem = made_elsewhere(tmp_path / "ours")
        made = await add_certificate(house, certificate=pem)
        assert "privateKey" not in made
        assert "certificate" not in made
        assert [made] == await house.get(X509)
        assert (made["issuer"], made["serialNumber"]) == identity(ssl.PEM_cert_to_DER_cert(pem))
        reply = await show(house, made)
        assert (reply.status_code, reply.client_id, reply.credentials_id) == (200, "gateway", made["id"])
        assert not (house.directory / "tls").exists()

    async def test_the_same_again_is_refused(self, house: House, tmp_path: Path) -> None:
        await start(house)
        pem = made_elsewhere(tmp_path / "ours")
        made = await add_certificate(house, certificate=pem)
        reply = await house.call("POST", X509, {"certificate": pem})
        assert (reply.status, made["serialNumber"] in reply.message) == (409, True)

    async def test_one_that_has_ended_or_brings_its_key_is_refused(self, house: House, tmp_path: Path) -> None:
        await start(house)
        authority = Authority.of(tmp_path / "ours", now_ms=START_MS)
        issued = authority.issue_client("gateway", now_ms=START_MS, lifetime_ms=DAY_MS)
        key = issued.private_key
        reply = await house.call("POST", X509, {"certificate": issued.certificate.pem + key})
        assert (reply.status, "private key" in reply.message, key in reply.message) == (400, True, False)
        house.clock.set(START_MS + DAY_MS)
        reply = await house.call("POST", X509, {"certificate": issued.certificate.pem})
        assert (reply.status, reply.message) == (400, "certificate: it has ended")
        assert await house.get(X509) == []

    async def test_one_whose_issuer_has_no_name_is_refused(self, house: House) -> None:
        from datetime import UTC, datetime

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        nobody = x509.Name([])
        builder = x509.CertificateBuilder().subject_name(nobody).issuer_name(nobody).serial_number(7)
        builder = builder.not_valid_before(datetime(2025, 1, 1, tzinfo=UTC)).public_key(key.public_key())
        certificate = builder.not_valid_after(datetime(2035, 1, 1, tzinfo=UTC)).sign(key, hashes.SHA256())
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        await start(house)
        reply = await house.call("POST", X509, {"certificate": pem})
        assert (reply.status, reply.message.startswith("certificate: its issuer")) == (400, True)


class TestWhatWasLaidThere:
    """`kaa cert init` lays certificates into `tls/clients` while no server runs."""

    async def test_it_is_registered_at_the_start_and_taken_away(self, house: House, tmp_path: Path) -> None:
        waiting = house.directory / "tls" / "clients"
        waiting.mkdir(parents=True)
        pems = [made_elsewhere(tmp_path / "ours", name) for name in ("a", "b")]
        for number, pem in enumerate(pems):
            (waiting / f"{number}.pem").write_text(pem)
        await start(house)
        found = await house.get(X509)
        assert {one["commonName"] for one in found} == {"a", "b"}
        assert list(waiting.iterdir()) == []
        for one in found:
            assert (await show(house, one)).status_code == 200

    async def test_what_a_crash_left_there_is_not_registered_twice(self, house: House, tmp_path: Path) -> None:
        pem = made_elsewhere(tmp_path / "ours")
        await start(house)
        made = await add_certificate(house, certificate=pem)
        waiting = house.directory / "tls" / "clients"
        waiting.mkdir(parents=True)
        (waiting / "gateway.pem").write_text(pem)
        await house.restart()
        await start(house)
        assert [one["id"] for one in await house.get(X509)] == [made["id"]]
        assert list(waiting.iterdir()) == []

    async def test_what_cannot_be_registered_stays_and_keeps_nobody_from_starting(
        self, house: House, tmp_path: Path
    ) -> None:
        waiting = house.directory / "tls" / "clients"
        waiting.mkdir(parents=True)
        (waiting / "a.pem").write_bytes(b"\xff")
        (waiting / "b.pem").write_text("junk")
        (waiting / "c.pem").write_text(made_elsewhere(tmp_path / "ours"))
        (waiting / "d.pem").mkdir()
        await start(house)
        assert [one["commonName"] for one in await house.get(X509)] == ["gateway"]
        assert sorted(one.name for one in waiting.iterdir()) == ["a.pem", "b.pem", "d.pem"]


class TestAuthentication:
    async def test_both_issuer_and_serial_number_must_be_right(self, house: House, tmp_path: Path) -> None:
        await start(house)
        made = await add_certificate(house)
        other = made_elsewhere(tmp_path / "ours")
        issuer, serial = made["issuer"], made["serialNumber"]
        others = identity(ssl.PEM_cert_to_DER_cert(other))
        asked = [(issuer, others[1]), (others[0], serial), ("", ""), (issuer, f"0{serial}"), (issuer.lower(), serial)]
        for pair in asked:
            reply = await house.request(ASK_CERTIFICATE, issuer=pair[0], serial_number=pair[1])
            found = (reply.status_code, reply.tenant_id, reply.credentials_id, reply.client_id, reply.reason_phrase)
            assert found == (401, None, None, None, "the certificate is unknown")

    async def test_a_user_is_not_taken_for_a_certificate(self, house: House) -> None:
        await start(house)
        made = await add_user(house)
        assert await house.get(X509) == []
        assert (await house.call("GET", f"{X509}/{made['id']}")).status == 404
        assert [one["id"] for one in await house.get(BASIC)] == [made["id"]]

    async def test_one_that_has_ended_is_refused(self, house: House) -> None:
        await start(house)
        made = await add_certificate(house, ttl="1d")
        house.clock.set(START_MS + DAY_MS - 1)
        assert (await show(house, made)).status_code == 200
        house.clock.set(START_MS + DAY_MS)
        reply = await show(house, made)
        assert (reply.status_code, reply.reason_phrase) == (403, "the certificate has ended")

    async def test_those_who_ask_the_old_way_are_answered_alike(self, house: House) -> None:
        await start(house)
        made = await add_certificate(house, commonName="gateway")
        for serial, expected in ((made["serialNumber"], (200, made["id"], "gateway")), ("7", (401, None, None))):
            reply = await house.request(OLD_CERTIFICATE, issuer=made["issuer"], serial_number=serial)
            assert (reply.status_code, reply.credential_id, reply.client_id) == expected

    async def test_neither_chains_nor_keys_are_in_events_and_logs(
        self, house: House, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await start(house)
        heard = await house.hear(cap.credentials_revoked())
        made = await add_certificate(house)
        await show(house, made)
        await house.call("DELETE", f"{X509}/{made['id']}")
        said = "".join(capsys.readouterr()) + repr(heard)
        assert len(heard) == 1
        assert "PRIVATE KEY" not in said
        assert made["privateKey"].splitlines()[1] not in said


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes | None:
    """Have two ends shake hands in memory; gives the certificate that the server has seen."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
    ]
    done: set[int] = set()
    for _ in range(10):
        for number, end in enumerate(ends):
            try:
                end.do_handshake()
                done.add(number)
            except ssl.SSLWantReadError:
                continue
    assert done == {0, 1}
    return ends[0].getpeercert(binary_form=True)
