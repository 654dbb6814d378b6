"""Certificates: how they are known, and the authority that signs them."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fakes.clock import START_MS
from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.core.certificates import DAY_MS, Authority, described, exclusive, identity
from kaa.core.errors import Conflict, InvalidInput
from kaa.core.files import write_whole

NOW = datetime(2025, 11, 24, 16, tzinfo=UTC)


def made_elsewhere(
    *names: tuple[x509.ObjectIdentifier, str], serial: int = 4711, is_der: bool = False, days: int = 1
) -> bytes:
    """Make a self-signed certificate whose issuer has these parts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(kind, value) for kind, value in names])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW - timedelta(days=2))
        .not_valid_after(NOW + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.DER if is_der else serialization.Encoding.PEM)


def verified(directory: Path, pem: str, purpose: str) -> bool:
    """Ask OpenSSL, which is not ours."""
    (directory / "leaf.pem").write_text(pem)
    command = ["openssl", "verify", "-x509_strict", "-attime", str(START_MS // 1000), "-purpose", purpose]
    files = ["-CAfile", str(directory / "ca.pem"), str(directory / "leaf.pem")]
    return subprocess.run([*command, *files], capture_output=True, check=False).returncode == 0


class TestIdentity:
    def test_it_is_issuer_and_serial_number_in_base_ten(self) -> None:
        names = [(NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Acme, Inc."), (NameOID.COMMON_NAME, "Root")]
        der = made_elsewhere(*names, serial=2**159 - 1, is_der=True)
        assert identity(der) == ("CN=Root,O=Acme\\, Inc.,C=DE", str(2**159 - 1))

    def test_those_who_read_pem_and_those_who_read_der_agree(self, tmp_path: Path) -> None:
        issued = Authority.of(tmp_path, now_ms=START_MS).issue_client("gateway", now_ms=START_MS).certificate
        der = x509.load_pem_x509_certificate(issued.pem.encode()).public_bytes(serialization.Encoding.DER)
        assert identity(der) == (issued.issuer, issued.serial)

    def test_names_that_only_look_alike_are_different(self) -> None:
        one = made_elsewhere((NameOID.COMMON_NAME, "a,O=b"), is_der=True)
        other = made_elsewhere((NameOID.ORGANIZATION_NAME, "b"), (NameOID.COMMON_NAME, "a"), is_der=True)
        assert identity(one) != identity(other)

    @settings(deadline=None, max_examples=50)
    @given(junk=st.binary(max_size=200))
    def test_junk_is_refused(self, junk: bytes) -> None:
        with pytest.raises(InvalidInput):
            identity(junk)

    # a serial number below 1 (RFC 5280 has none) is read with a warning
    @pytest.mark.filterwarnings("ignore:Parsed a serial number")
    @pytest.mark.parametrize("value", [0x00, 0x05, 0x30, 0x7F, 0xFF])
    def test_a_certificate_with_a_wrong_byte_is_refused_or_has_an_identity(self, value: int) -> None:
        refused = 0
        for at in range(len(DER)):
            der = DER[:at] + bytes((value,)) + DER[at + 1 :]
            try:
                assert identity(der)[1].lstrip("-").isdecimal()
                described(ssl.DER_cert_to_PEM_cert(der))
            except InvalidInput:
                refused += 1
        assert 0 < refused < len(DER)


DER = made_elsewhere((NameOID.COMMON_NAME, "Root"), is_der=True)


class TestDescribed:
    def test_it_says_what_the_first_certificate_says(self) -> None:
        pem = made_elsewhere((NameOID.COMMON_NAME, "first"), days=3).decode()
        other = made_elsewhere((NameOID.COMMON_NAME, "second"), serial=5).decode()
        found = described(f"Bag Attributes\n{pem}{other}")
        assert (found.common_name, found.issuer, found.serial, found.pem) == ("first", "CN=first", "4711", pem)
        assert (found.not_before_ms, found.not_after_ms) == (START_MS - 2 * DAY_MS, START_MS + 3 * DAY_MS)

    def test_one_without_a_common_name_has_none(self) -> None:
        assert described(made_elsewhere((NameOID.ORGANIZATION_NAME, "o")).decode()).common_name is None

    @pytest.mark.parametrize(
        ("pem", "word"),
        [
            ("", "PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "X.509"),
            ("-----BEGIN CERTIFICATE-----\nß\n-----END CERTIFICATE-----\n", "X.509"),
            ("-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----", "PEM"),
            ("x" * 70_000, "65536"),
        ],
    )
    def test_what_is_none_is_refused(self, pem: str, word: str) -> None:
        with pytest.raises(InvalidInput, match=word):
            described(pem)

    def test_a_private_key_is_refused_and_not_repeated(self, tmp_path: Path) -> None:
        issued = Authority.of(tmp_path, now_ms=START_MS).issue_client("gateway", now_ms=START_MS)
        with pytest.raises(InvalidInput) as refused:
            described(issued.certificate.pem + issued.private_key)
        assert issued.private_key.splitlines()[1] not in refused.value.reason


class TestAuthority:
    def test_it_is_made_once_and_its_key_is_its_owners_alone(self, tmp_path: Path) -> None:
        first = Authority.of(tmp_path / "tls", now_ms=START_MS)
        again = Authority.of(tmp_path / "tls", now_ms=START_MS + DAY_MS)
        assert again.certificate == first.certificate
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()}
        assert modes == {"ca.key": 0o600, "ca.pem": 0o644}
        assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700

    def test_two_of_them_have_different_names(self, tmp_path: Path) -> None:
        names = {Authority.of(tmp_path / name, now_ms=START_MS).certificate.issuer for name in "ab"}
        assert len(names) == 2

    def test_openssl_takes_a_clients_certificate_for_a_client_and_nothing_else(self, tmp_path: Path) -> None:
        issued = Authority.of(tmp_path, now_ms=START_MS).issue_client("gateway", now_ms=START_MS).certificate
        purposes = [verified(tmp_path, issued.pem, purpose) for purpose in ("sslclient", "sslserver", "any")]
        assert purposes == [True, False, True]
        assert (issued.common_name, issued.not_after_ms) == ("gateway", START_MS + 825 * DAY_MS)

    def test_openssl_takes_a_servers_certificate_for_a_server_of_its_names(self, tmp_path: Path) -> None:
        issued = Authority.of(tmp_path, now_ms=START_MS).issue_server(
            ["iot.example", "10.0.0.7", "::1"], now_ms=START_MS
        )
        pem = issued.certificate.pem
        assert [verified(tmp_path, pem, one) for one in ("sslserver", "sslclient")] == [True, False]
        assert issued.certificate.hosts == ("iot.example", "10.0.0.7", "::1")
        context = x509.load_pem_x509_certificate(pem.encode())
        key = serialization.load_pem_private_key(issued.private_key.encode(), None)
        assert context.public_key() == key.public_key()

    def test_serial_numbers_are_drawn_at_random(self, tmp_path: Path) -> None:
        authority = Authority.of(tmp_path, now_ms=START_MS)
        serials = {int(authority.issue_client("gateway", now_ms=START_MS).certificate.serial) for _ in range(8)}
        assert len(serials) == 8
        assert min(serials) > 2**64

    def test_what_it_signs_ends_before_it_does(self, tmp_path: Path) -> None:
        authority = Authority.of(tmp_path, now_ms=START_MS)
        late = START_MS + 9 * 365 * DAY_MS
        end = authority.certificate.not_after_ms
        assert authority.issue_client("gateway", now_ms=late).certificate.not_after_ms == end
        assert authority.issue_server(["localhost"], now_ms=late).certificate.not_after_ms == end
        with pytest.raises(InvalidInput, match="longer"):
            authority.issue_client("gateway", now_ms=late, lifetime_ms=2 * 365 * DAY_MS)
        with pytest.raises(Conflict, match="ended"):
            authority.issue_client("gateway", now_ms=end)

    @pytest.mark.parametrize("name", ["", "x" * 65])
    def test_a_name_that_none_can_have_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(InvalidInput, match="common name"):
            Authority.of(tmp_path, now_ms=START_MS).issue_client(name, now_ms=START_MS)

    def test_a_host_that_is_neither_name_nor_address_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="ASCII"):
            Authority.of(tmp_path, now_ms=START_MS).issue_server(["straße.example"], now_ms=START_MS)

    def test_a_crash_between_its_files_is_made_good(self, tmp_path: Path) -> None:
        Authority.of(tmp_path, now_ms=START_MS)
        key = (tmp_path / "ca.key").read_bytes()
        (tmp_path / "ca.pem").unlink()
        (tmp_path / ".ca.pem.new").write_text("half")
        issued = Authority.of(tmp_path, now_ms=START_MS).issue_client("gateway", now_ms=START_MS).certificate
        assert (tmp_path / "ca.key").read_bytes() == key
        assert verified(tmp_path, issued.pem, "sslclient")

    @pytest.mark.parametrize(
        ("file", "content", "word"),
        [
            ("ca.key", None, "no key beside it"),
            ("ca.key", "junk", "no private key"),
            ("ca.pem", "junk", "no certificate"),
            ("ca.pem", made_elsewhere((NameOID.COMMON_NAME, "other")).decode(), "does not belong"),
        ],
    )
    def test_files_that_cannot_be_used_are_left_alone_and_named(
        self, tmp_path: Path, file: str, content: str | None, word: str
    ) -> None:
        Authority.of(tmp_path, now_ms=START_MS)
        if content is None:
            (tmp_path / file).unlink()
        else:
            (tmp_path / file).write_text(content)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(Conflict, match=word):
            Authority.of(tmp_path, now_ms=START_MS)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_a_key_of_another_kind_is_refused(self, tmp_path: Path) -> None:
        from cryptography.hazmat.primitives.asymmetric import ed25519

        pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (tmp_path / "ca.key").write_bytes(pem)
        with pytest.raises(Conflict, match="elliptic curve"):
            Authority.of(tmp_path, now_ms=START_MS)


class TestFiles:
    def test_a_file_is_replaced_as_a_whole_and_has_its_mode_from_the_beginning(self, tmp_path: Path) -> None:
        path = tmp_path / "server.key"
        (tmp_path / ".server.key.new").write_text("left by a crash")
        (tmp_path / ".server.key.new").chmod(0o644)
        write_whole(path, "one")
        assert path.stat().st_mode & 0o777 == 0o644
        write_whole(path, "two", mode=0o600)
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o600)
        assert [one.name for one in tmp_path.iterdir()] == ["server.key"]

    def test_only_one_at_a_time_makes_files(self, tmp_path: Path) -> None:
        import fcntl
        import os

        directory = tmp_path / "tls"
        with exclusive(directory):
            descriptor = os.open(directory, os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
