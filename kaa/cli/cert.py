"""`kaa cert`: the certificates for TLS."""

import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kaa.core.clock import SystemClock
from kaa.core.errors import KaaError, Refusal
from kaa.remote import Remote, RemoteError

from .options import json_option
from .output import write_rows

if TYPE_CHECKING:
    from kaa.core.certificates import Authority, Described, Issued

_ALWAYS = ("localhost", "127.0.0.1", "::1")
_CLIENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_RESERVED = frozenset({"ca", "server"})
_SOON_MS = 30 * 86_400_000
_COLUMNS = {"file": "file", "state": "", "note": ""}


class CertificateError(KaaError):
    """A certificate could not be made; the sentence says why."""


@click.group()
def cert() -> None:
    """Make the certificates for TLS."""


@cert.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("kaa-data"),
    show_default=True,
    envvar="KAA_DATA_DIR",
    help="The data directory of the server; the certificates lie in its folder tls.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name or an address by which devices reach the server, besides localhost; the machine's name if none is "
    "given. May be repeated.",
)
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="NAME",
    help="Make a certificate that a client may connect with, and let the server know it. May be repeated.",
)
@json_option
def init(*, data_dir: Path, hosts: tuple[str, ...], clients: tuple[str, ...], is_json: bool) -> None:
    """Make an authority, a certificate for the server and some for clients; what is there is kept."""
    for name in clients:
        if _CLIENT.fullmatch(name) is None or name in _RESERVED:
            raise click.BadParameter(
                f"{name!r} cannot be the name of a file beside the others: letters, digits, '.', '_' and '-'",
                param_hint="--client",
            )
    directory = data_dir / "tls"
    try:
        done = _made(directory, hosts, clients)
    except (OSError, Refusal) as error:
        raise CertificateError(f"the certificates in {directory} cannot be made: {_why(error)}") from error
    for file in done:
        if file.waiting is not None:
            _register(file, data_dir)
    rows = [{"file": str(file.path), "state": file.state, "note": file.note} for file in done]
    write_rows(rows, _COLUMNS, is_json=is_json)


@dataclass(slots=True)
class _File:
    """What became of a certificate; `waiting` is where it waits for the server to know it."""

    path: Path
    is_made: bool
    notes: list[str] = field(default_factory=list)
    waiting: Path | None = None

    @property
    def state(self) -> str:
        return "made" if self.is_made else "kept"

    @property
    def note(self) -> str:
        return "; ".join(self.notes)


def _made(directory: Path, hosts: Sequence[str], clients: Sequence[str]) -> list[_File]:
    # loaded for those who make certificates only
    from kaa.core.certificates import Authority, exclusive  # noqa: PLC0415

    now = SystemClock().now_ms()
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not (directory / "ca.pem").exists()
    authority = Authority.of(directory, now_ms=now)
    with exclusive(directory):
        return [
            _File(directory / "ca.pem", is_new, list(_ending(authority.certificate, now))),
            _server(directory, authority, hosts, now),
            *(_client(directory, authority, name, now) for name in dict.fromkeys(clients)),
        ]


def _server(directory: Path, authority: "Authority", hosts: Sequence[str], now_ms: int) -> _File:
    there = _there(directory, "server")
    if there is not None:
        lacking = [host for host in hosts if host not in there.hosts]
        notes = list(_ending(there, now_ms))
        if lacking:
            notes.append(
                f"does not hold for {', '.join(lacking)}; delete server.pem and server.key to have it made anew"
            )
        return _File(directory / "server.pem", is_made=False, notes=notes)
    wanted = tuple(dict.fromkeys((*(hosts or _own_name()), *_ALWAYS)))
    issued = authority.issue_server(wanted, now_ms=now_ms)
    _write(directory, "server", issued)
    return _File(directory / "server.pem", is_made=True, notes=[f"for {', '.join(issued.certificate.hosts)}"])


def _client(directory: Path, authority: "Authority", name: str, now_ms: int) -> _File:
    from kaa.core.files import write_whole  # noqa: PLC0415  as above

    waiting = directory / "clients" / f"{name}.pem"
    there = _there(directory, name)
    if there is not None:
        file = _File(directory / f"{name}.pem", is_made=False, notes=list(_ending(there, now_ms)))
    else:
        issued = authority.issue_client(name, now_ms=now_ms)
        # first where the server finds it: a crash in between leaves nothing that no server would know
        waiting.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(waiting, issued.certificate.pem)
        _write(directory, name, issued)
        file = _File(directory / f"{name}.pem", is_made=True)
    if waiting.exists():
        file.waiting = waiting
    return file


def _there(directory: Path, name: str) -> "Described | None":
    """Describe the certificate that is there with its key; without it, it is of no use to anybody, and made anew."""
    from kaa.core.certificates import described  # noqa: PLC0415  as above

    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    if certificate.exists() and key.exists():
        try:
            return described(certificate.read_text(encoding="ascii"))
        except (Refusal, UnicodeDecodeError) as error:
            raise CertificateError(f"{certificate} cannot be used: {_why(error)}") from error
    if key.exists():
        raise CertificateError(f"{key} is there without {certificate.name}; put that beside it, or take the key away")
    return None


def _write(directory: Path, name: str, issued: "Issued") -> None:
    from kaa.core.files import write_whole  # noqa: PLC0415  as above

    write_whole(directory / f"{name}.pem", issued.certificate.pem)
    write_whole(directory / f"{name}.key", issued.private_key, mode=0o600)


def _ending(certificate: "Described", now_ms: int) -> Iterator[str]:
    if certificate.not_after_ms <= now_ms:
        yield "it has ended"
    elif certificate.not_after_ms <= now_ms + _SOON_MS:
        yield f"it ends in {(certificate.not_after_ms - now_ms) // 86_400_000} days"


def _register(file: _File, data_dir: Path) -> None:
    """Let the server know a client's certificate; one that does not run finds it when it starts."""
    assert file.waiting is not None
    try:
        Remote.find(data_dir).post("/cm/api/v1/x509-credentials", {"certificate": file.waiting.read_text("ascii")})
    except RemoteError as error:
        if error.status != 409:
            running = f"the server does not know it yet ({error})" if error.status else "no server runs"
            file.notes.append(f"{running}; it is registered at the next start")
            return
    file.waiting.unlink(missing_ok=True)
    file.notes.append("registered with the server")


def _own_name() -> tuple[str, ...]:
    name = socket.gethostname()
    return (name,) if name and name.isascii() else ()


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
