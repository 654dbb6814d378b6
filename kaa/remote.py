"""A server that runs somewhere, found and asked over REST; none of the server's own code is loaded for it."""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from kaa.core.errors import KaaError

_TIMEOUT_S = 60.0
_MQTT_PORT = 1883
_PAGE = 1_000
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  recognized, not bound


class RemoteError(KaaError):
    """The server was not found, not reached, or said no; `status` is its HTTP status, 0 where there was none."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a server answers, and the key that opens it; `mqtt` is None where it has no door for devices."""

    url: str
    mqtt: str | None
    key: str = field(repr=False)
    key_from: str = "that was given"
    cafile: Path | None = None
    """The certificate of the authority that an https server's is verified with; the system's, if none is named."""

    @classmethod
    def find(
        cls, data_dir: Path, *, url: str | None = None, key: str | None = None, cafile: Path | None = None
    ) -> Self:
        """Find a server: by URL and key, or by what it wrote into its data directory; raises RemoteError."""
        if url is not None:
            if key is None:
                # the admin key of this machine is not sent to whatever a URL names
                raise RemoteError(f"{url} needs a key: give --key or KAA_KEY")
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise RemoteError(f"--url: {url!r} is no address; write it like http://127.0.0.1:8080")
            return cls(url.rstrip("/"), _address(parts.hostname, _MQTT_PORT), key, cafile=cafile)
        file = data_dir / "server.json"
        try:
            doors = json.loads(file.read_bytes())
            scheme = "http" if "http" in doors else "https"
            site = f"{scheme}://{_reachable(str(doors[scheme]))}"
            mqtt = _reachable(str(doors["mqtt"])) if doors.get("mqtt") else None
        except FileNotFoundError:
            raise RemoteError(
                f"no server found: {file} is not there; start one with `kaa serve`, or give --url and --key"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RemoteError(f"no server found: {file} cannot be read ({error}); give --url and --key") from None
        own = data_dir / "tls" / "ca.pem"
        if cafile is None and scheme == "https" and own.exists():
            cafile = own
        if key is not None:
            return cls(site, mqtt, key, cafile=cafile)
        key_file = data_dir / "admin.key"
        try:
            found = key_file.read_text(encoding="utf-8").strip()
            return cls(site, mqtt, found, f"in {key_file}", cafile)
        except OSError as error:
            raise RemoteError(f"no key: {key_file} cannot be read ({error.strerror}); give --key") from None

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Ask for something."""
        return self.ask("GET", path, params=params)

    def pages(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Ask for all of a list, page by page."""
        offset = 0
        while True:
            page = self.get(path, {"offset": offset, "limit": _PAGE} | dict(params or {}))
            yield from page["content"]
            offset += len(page["content"])
            if not page["content"] or offset >= page["totalElements"]:
                return

    def post(self, path: str, body: Any) -> Any:
        """Have something made, or ask with a body."""
        return self.ask("POST", path, body=body)

    def delete(self, path: str) -> None:
        """Have something deleted."""
        self.ask("DELETE", path)

    def ask(self, method: str, path: str, *, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """Send a request and give the JSON of its answer; raises RemoteError for anything but a 2xx."""
        data = self.fetch(method, path, body=body, params=params)
        try:
            return json.loads(data) if data else None
        except ValueError:
            raise RemoteError(f"{self.url} does not answer as kaa does; is it the address of its REST site?") from None

    def fetch(self, method: str, path: str, *, body: Any = None, params: Mapping[str, Any] | None = None) -> bytes:
        """Send a request and give the bytes of its answer; raises RemoteError for anything but a 2xx."""
        with self.streamed(method, path, body=body, params=params) as answer:
            return answer.read()

    @contextmanager
    def streamed(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        accept: str = "application/json",
        timeout_s: float = _TIMEOUT_S,
    ) -> Iterator["Answer"]:
        """Send a request and give its answer, to be read while the block lasts; RemoteError for anything but a 2xx."""
        parts = urlsplit(self.url)
        target = parts.path + path + _query(params or {})
        headers = {"Authorization": f"Bearer {self.key}", "Accept": accept}
        sent = None
        if body is not None:
            sent, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = self._connection(parts.hostname or "", parts.port, timeout_s)
        try:
            with _explained(self.url, timeout_s):
                connection.request(method, target, body=sent, headers=headers)
                answer = Answer(connection.getresponse(), self.url, timeout_s)
            if not 200 <= answer.status < 300:
                raise self._refused(answer.status, answer.read())
            yield answer
        finally:
            connection.close()

    def _connection(self, host: str, port: int | None, timeout_s: float) -> http.client.HTTPConnection:
        if not self.url.startswith("https:"):
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        try:
            context = ssl.create_default_context(cafile=self.cafile)
        except OSError as error:
            raise RemoteError(f"--cafile: {self.cafile} is no file with a certificate in PEM ({error})") from None
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)

    def _refused(self, status: int, data: bytes) -> RemoteError:
        if status == 401:
            return RemoteError(
                f"{self.url} does not take the key {self.key_from}; give a valid one with --key or KAA_KEY",
                status=status,
            )
        try:
            message = str(json.loads(data)["message"])
        except (ValueError, KeyError, TypeError):
            message = f"{self.url} answered with status {status}"
        return RemoteError(message, status=status)


class Answer:
    """What a server answers, read by the piece."""

    def __init__(self, response: http.client.HTTPResponse, url: str, timeout_s: float) -> None:
        self.status, self.headers = response.status, response.headers
        self._response, self._url, self._timeout_s = response, url, timeout_s

    def read(self, size: int | None = None, /) -> bytes:
        """Give the next bytes, fewer than asked for only at the end, or the rest; RemoteError if it is cut short."""
        with _explained(self._url, self._timeout_s):
            return self._response.read(size)


@contextmanager
def _explained(url: str, timeout_s: float) -> Iterator[None]:
    """Turn what may go wrong on the way to a server into a RemoteError."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise RemoteError(
            f"{url} shows a certificate that cannot be verified ({error.verify_message}); "
            "name the file of its authority with --cafile or KAA_CAFILE"
        ) from None
    except TimeoutError:
        raise RemoteError(f"{url} did not answer within {timeout_s:.0f} seconds; is it busy?") from None
    except http.client.IncompleteRead:
        raise RemoteError(f"{url} has broken its answer off; the log of the server may say why") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise RemoteError(f"{url} does not answer ({why}); start the server with `kaa serve`") from None


def split_address(address: str) -> tuple[str, int]:
    """Take `HOST:PORT` apart; ValueError if it is none. An IPv6 address stands in brackets, and is given without."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{address!r} is no address; write it as HOST:PORT, like 127.0.0.1:1883")
    return host.strip("[]"), int(port)


def path_of(*parts: str) -> str:
    """Make a path of its parts, each quoted."""
    return "".join("/" + quote(part, safe="~") for part in parts)


def _query(params: Mapping[str, Any]) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        if isinstance(value, Sequence) and not isinstance(value, str):
            pairs += [(name, str(one)) for one in value]
        elif value is not None:
            pairs.append((name, str(value)))
    return "?" + urlencode(pairs) if pairs else ""


def _reachable(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host:
        raise ValueError(f"{address!r} is no address")
    return _address(_EVERYWHERE.get(host, host), int(port))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
