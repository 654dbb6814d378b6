"""X.509: how a certificate is known, and a small authority that signs them.

Keys are on the curve P-256, which every TLS library takes and small devices are quick with. Loading `cryptography`
takes 8 MB and 70 ms, off the loop if it can be: import this file where a certificate is at hand, not at the top of one
that every server loads.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kaa.core.errors import Conflict, InvalidInput
from kaa.core.files import write_whole

DAY_MS = 86_400_000
LIFETIME_MS = 825 * DAY_MS
"""How long a certificate holds unless it is said otherwise: the longest that every client takes for a server's."""

LONGEST_NAME = 64  # RFC 5280, ub-common-name
LONGEST_PEM = 65_536

_AUTHORITY_MS = 10 * 365 * DAY_MS
# A device whose clock is behind takes a new certificate all the same.
_EARLIER_MS = DAY_MS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ORGANIZATION = "kaa"
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Described:
    """What a certificate says of itself; `pem` is that certificate alone."""

    pem: str
    issuer: str
    serial: str
    common_name: str | None
    not_before_ms: int
    not_after_ms: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Issued:
    """A new certificate and its key, both PEM; who wants to show a chain puts the authority's behind it."""

    certificate: Described
    private_key: str


def identity(certificate_der: bytes) -> tuple[str, str]:
    """Give what a certificate is known by: its issuer (RFC 4514) and its serial number (base 10).

    Raises:
        InvalidInput: it is no certificate.
    """
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        return _identity(certificate)
    except _UNREADABLE as error:
        raise InvalidInput("it is no X.509 certificate") from error


def described(pem: str) -> Described:
    """Describe the first certificate of a PEM text, which in a chain is the one that the rest vouches for.

    Raises:
        InvalidInput: there is none, or a private key is in it, which is nobody's but its owner's.
    """
    if len(pem) > LONGEST_PEM:
        raise InvalidInput(f"more than {LONGEST_PEM} characters")
    if "PRIVATE KEY-----" in pem:
        raise InvalidInput("a private key is in it; keep that where the client is, and send the certificate alone")
    begin = pem.find(_BEGIN)
    end = pem.find(_END, begin)
    if begin < 0 or end < 0:
        raise InvalidInput(f"it is no certificate in PEM, which begins with {_BEGIN}")
    try:
        return _described(x509.load_pem_x509_certificate(pem[begin : end + len(_END)].encode()))
    except _UNREADABLE as error:
        raise InvalidInput("it is no X.509 certificate") from error


class Authority:
    """A certificate with its key that others are signed with."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate, self._key = certificate, key
        self.certificate = _described(certificate)

    @classmethod
    def of(cls, directory: Path, *, now_ms: int) -> Self:
        """Give the one whose `ca.pem` and `ca.key` are in the directory; where neither is, both are made.

        Raises:
            Conflict: they cannot be used; the sentence says why.
            OSError: the directory cannot be read or written.
        """
        certificate_file, key_file = directory / "ca.pem", directory / "ca.key"
        with exclusive(directory):
            if not key_file.exists():
                if certificate_file.exists():
                    raise Conflict(f"{certificate_file} has no key beside it (ca.key): nothing can be signed with it")
                write_whole(key_file, _key_pem(ec.generate_private_key(ec.SECP256R1())), mode=0o600)
            key = _load_key(key_file)
            if not certificate_file.exists():  # made now, or a crash came between the two
                write_whole(certificate_file, _pem(_self_signed(key, now_ms=now_ms)))
            return cls(_load_authority(certificate_file, key), key)

    def issue_client(self, common_name: str, *, now_ms: int, lifetime_ms: int | None = None) -> Issued:
        """Make a certificate that a client shows; unless it is said how long it holds, it may end with the authority's.

        Raises:
            InvalidInput: it would hold longer than the authority's own.
        """
        until_ms = self._until(now_ms) if lifetime_ms is None else now_ms + lifetime_ms
        return self._issue(common_name, ExtendedKeyUsageOID.CLIENT_AUTH, (), now_ms=now_ms, until_ms=until_ms)

    def issue_server(self, hosts: Sequence[str], *, now_ms: int) -> Issued:
        """Make a certificate for a server that is reached by these names and addresses."""
        name, usage = hosts[0][:LONGEST_NAME], ExtendedKeyUsageOID.SERVER_AUTH
        return self._issue(name, usage, hosts, now_ms=now_ms, until_ms=self._until(now_ms))

    def _until(self, now_ms: int) -> int:
        return min(now_ms + LIFETIME_MS, self.certificate.not_after_ms)

    def _issue(
        self, common_name: str, usage: x509.ObjectIdentifier, hosts: Sequence[str], *, now_ms: int, until_ms: int
    ) -> Issued:
        until, end = _date(until_ms), self._certificate.not_valid_after_utc
        if end <= _date(now_ms):
            raise Conflict(f"the authority's certificate ended at {end:%Y-%m-%d}: nothing can be signed with it")
        if until > end:
            raise InvalidInput(f"it would hold longer than that of the authority, which ends at {end:%Y-%m-%d}")
        key = ec.generate_private_key(ec.SECP256R1())
        authority_key = self._key.public_key()
        builder = (
            _builder(_name(common_name), self._certificate.subject, key.public_key(), _earlier(now_ms), until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(one) for one in hosts]), critical=False)
        return Issued(_described(builder.sign(self._key, hashes.SHA256())), _key_pem(key))


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Be the only one who makes files there: the server and the command line may both want to; makes the directory."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _identity(certificate: x509.Certificate) -> tuple[str, str]:
    return certificate.issuer.rfc4514_string(), str(certificate.serial_number)


def _described(certificate: x509.Certificate) -> Described:
    issuer, serial = _identity(certificate)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Described(
        pem=_pem(certificate),
        issuer=issuer,
        serial=serial,
        common_name=str(names[0].value) if names else None,
        not_before_ms=_ms(certificate.not_valid_before_utc),
        not_after_ms=_ms(certificate.not_valid_after_utc),
        hosts=_hosts(certificate),
    )


def _hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise InvalidInput(f"{name!r} is neither the name of a host (in ASCII) nor an address") from error


def _self_signed(key: ec.EllipticCurvePrivateKey, *, now_ms: int) -> x509.Certificate:
    public = key.public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    digest = sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest()
    # a name of its own: certificates of two authorities never agree in issuer and serial number
    name = _name(f"kaa CA {digest[:8]}")
    return (
        _builder(name, name, public, _earlier(now_ms), _date(now_ms + _AUTHORITY_MS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    try:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
    except ValueError as error:
        raise InvalidInput(
            f"{common_name[:LONGEST_NAME]!r} cannot be a common name: 1 to {LONGEST_NAME} characters"
        ) from error


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Conflict(f"{path} is no private key in PEM without a password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Conflict(f"{path} is not a key on an elliptic curve, and those alone are signed with here")
    return key


def _load_authority(path: Path, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        is_pair = certificate.public_key() == key.public_key()
    except _UNREADABLE as error:
        raise Conflict(f"{path} is no certificate in PEM") from error
    if not is_pair:
        raise Conflict(f"{path} does not belong to the key beside it")
    return certificate


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _earlier(now_ms: int) -> datetime:
    return _date(now_ms - _EARLIER_MS)


def _date(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)
