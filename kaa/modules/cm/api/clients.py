"""What clients connect with, over HTTP: user names and certificates."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, WithJsonSchema, model_validator

from kaa.core.auth import Role
from kaa.core.config import Duration
from kaa.core.dates import Date
from kaa.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from kaa.core.http import Answer, Call, Camel, Route, Stream
from kaa.core.http.render import to_json

from ..models import Client, Kind, Status, User
from ..service import Certificates, Users

_LONGEST_PEM = 65_536
_SHORTEST_TTL_MS = 60_000

Username = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f\x7f]{1,128}$")]
Ttl = Annotated[
    Duration,
    Field(ge=_SHORTEST_TTL_MS),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}], "description": "90d, P90D, or seconds"}),
]


class NewUserBody(Camel):
    """A user name with its password, which is made up where it is not given."""

    username: Username = Field(description="Without spaces; a client may add `@kaa`")
    password: Annotated[str, StringConstraints(min_length=8, max_length=1024)] | None = Field(
        None, description="Without it one is made up, and shown this once"
    )


class NewCertificateBody(Camel):
    """A certificate to be made, or in `certificate` (PEM) one that was made elsewhere."""

    common_name: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,64}$")] | None = Field(
        None, description="The subject of a certificate that is made here"
    )
    ttl: Ttl | None = Field(None, description="How long it holds: 90d, P90D, or seconds")
    certificate: Annotated[str, StringConstraints(max_length=_LONGEST_PEM)] | None = Field(
        None, description="A certificate that was made elsewhere, in PEM; its key stays where it is"
    )

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if self.certificate is not None and (self.common_name is not None or self.ttl is not None):
            raise ValueError("a certificate that is there has its commonName and its end; leave out commonName and ttl")
        return self


class NewState(Camel):
    """Where it is to go."""

    state: Literal[Status.ACTIVE, Status.SUSPENDED, Status.REVOKED] = Field(
        description="Whoever is connected with what is suspended or revoked is disconnected; Revoked is for good"
    )


class ClientsQuery(Camel):
    """Which are wanted; all, unless it is said otherwise."""

    state: tuple[Status, ...] = Field((), description="Only those in one of these states")


class _ClientView(Camel):
    id: str
    state: Status
    created_date: Date
    updated_date: Date
    last_use_date: Date | None


class UserView(_ClientView):
    """A user name, without its password."""

    model_config = Camel.like(
        {
            "id": "0b1f8a52-9b67-4c1b-a5b2-2d3f7f1f6b60",
            "state": "Active",
            "createdDate": "2026-11-22T09:00:00.000Z",
            "updatedDate": "2026-11-22T09:00:00.000Z",
            "lastUseDate": None,
            "username": "gateway-8",
        }
    )

    username: str


class NewUserView(UserView):
    """A new user name; with its password where that was made up, which is shown this once."""

    model_config = Camel.like(
        {
            "id": "0b1f8a52-9b67-4c1b-a5b2-2d3f7f1f6b60",
            "state": "Active",
            "createdDate": "2026-11-22T09:00:00.000Z",
            "updatedDate": "2026-11-22T09:00:00.000Z",
            "lastUseDate": None,
            "username": "gateway-8",
            "password": "k3yq-vm2p-7rzd-x0ab",
        }
    )

    password: str | None = None


class CertificateView(_ClientView):
    """A certificate, by what it is known by."""

    model_config = Camel.like(
        {
            "id": "0b1f8a52-9b67-4c1b-a5b2-2d3f7f1f6b60",
            "state": "Active",
            "createdDate": "2026-11-22T09:00:00.000Z",
            "updatedDate": "2026-11-22T09:00:00.000Z",
            "lastUseDate": None,
            "commonName": "gateway-7",
            "issuer": "CN=kaa authority",
            "serialNumber": "4f3a9c",
            "notAfter": "2027-11-22T09:00:00.000Z",
        }
    )

    common_name: str | None
    issuer: str
    serial_number: str
    not_after: Date


class NewCertificateView(CertificateView):
    """A new certificate; where it was made here with its chain and its private key (PEM), which is shown this once."""

    model_config = Camel.like(
        {
            "id": "0b1f8a52-9b67-4c1b-a5b2-2d3f7f1f6b60",
            "state": "Active",
            "createdDate": "2026-11-22T09:00:00.000Z",
            "updatedDate": "2026-11-22T09:00:00.000Z",
            "lastUseDate": None,
            "commonName": "gateway-7",
            "issuer": "CN=kaa authority",
            "serialNumber": "4f3a9c",
            "notAfter": "2027-11-22T09:00:00.000Z",
            "certificate": "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n",
            "privateKey": "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n",
        }
    )

    certificate: str | None = None
    private_key: str | None = None


class AuthorityView(Camel):
    """The certificate that those which are made here are verified with, in PEM."""

    model_config = Camel.like({"certificate": "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n"})

    certificate: str


def client_routes(users: Users, certificates: Certificates) -> list[Route]:
    """Give all that can be asked for."""
    basic, x509 = _Users(users), _Certificates(certificates)
    return [
        Route(
            method="GET",
            path="/x509-credentials/root-certificate",
            handler=x509.get_authority,
            summary="The certificate that clients' certificates made here are verified with",
            description=(
                "What devices hold the server's certificate against is another thing, unless `kaa cert` made both."
            ),
            means={
                404: "Nothing was made here yet, and so there is no authority",
                503: "The authority's file cannot be read",
            },
            returns=AuthorityView,
            errors=(NotFound, Unavailable),
        ),
        *_routes(
            ("/basic-credentials", "user name"), basic, (NewUserBody, {"username": "gateway-8"}), NewUserView, UserView
        ),
        *_routes(
            ("/x509-credentials", "certificate"),
            x509,
            (NewCertificateBody, {"commonName": "gateway-7", "ttl": "365d"}),
            NewCertificateView,
            CertificateView,
        ),
    ]


def _routes(
    named: tuple[str, str], api: "_Users | _Certificates", new: tuple[Any, Any], made: Any, view: Any
) -> list[Route]:
    path, what = named
    body, example = new
    one = f"{path}/{{id}}"
    return [
        Route(
            method="GET",
            path=path,
            handler=api.get_all,
            summary=f"Every {what} that clients may connect with, oldest first",
            description="Passwords and private keys are not among it: they are not kept.",
            query=ClientsQuery,
            returns=list[view],
            errors=(InvalidInput,),
        ),
        Route(
            method="POST",
            path=path,
            handler=api.post,
            summary=f"Let clients connect with another {what}",
            description="Its secret is shown this once, so an admin key is needed.",
            example=example,
            means={
                403: "The key is not an admin's",
                409: f"There is such a {what} already, or the authority cannot sign",
                503: "Too many passwords are being made or checked, or the authority's files cannot be used",
            },
            body=body,
            body_optional=body is NewCertificateBody,
            returns=made,
            status=201,
            errors=(InvalidInput, Conflict, Unavailable),
            needs=Role.ADMIN,  # its secret is shown
        ),
        Route(
            method="GET",
            path=one,
            handler=api.get,
            summary=f"One {what}",
            returns=view,
            errors=(NotFound,),
        ),
        Route(
            method="PUT",
            path=f"{one}/state",
            handler=api.put_state,
            summary=f"Activate, suspend or revoke a {what}",
            example={"state": "Suspended"},
            means={409: f"A {what} in its present state cannot be made that"},
            body=NewState,
            returns=view,
            errors=(InvalidInput, NotFound, Conflict),
        ),
        Route(
            method="DELETE",
            path=one,
            handler=api.delete,
            summary=f"Delete a {what}",
            description="Whoever is connected with it is disconnected.",
            status=204,
            errors=(NotFound,),
        ),
    ]


class _Users:
    def __init__(self, users: Users) -> None:
        self._users = users

    async def get_all(self, call: Call) -> Stream:
        return Stream(chunks=_listed(self._users.clients.pages(Kind.BASIC, call.query.state)))

    async def post(self, call: Call) -> Answer:
        new: NewUserBody = call.body
        made = await self._users.add(new.username, new.password)
        shown = {"password": made.password} if made.password is not None else {}
        return Answer(
            body=_shown(NewUserView(**dict(_view(made.client)), **shown)),
            location=f"/basic-credentials/{made.client.id}",
        )

    async def get(self, call: Call) -> Any:
        return _view(await self._users.clients.get(Kind.BASIC, call.path["id"]))

    async def put_state(self, call: Call) -> Any:
        new: NewState = call.body
        return _view(await self._users.move(call.path["id"], new.state))

    async def delete(self, call: Call) -> Answer:
        await self._users.remove(call.path["id"])
        return Answer()


class _Certificates:
    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    async def get_authority(self, _: Call) -> AuthorityView:
        return AuthorityView(certificate=await self._certificates.authority())

    async def get_all(self, call: Call) -> Stream:
        return Stream(chunks=_listed(self._certificates.clients.pages(Kind.CERTIFICATE, call.query.state)))

    async def post(self, call: Call) -> Answer:
        new: NewCertificateBody = call.body or NewCertificateBody()
        if new.certificate is not None:
            client = await self._certificates.register(new.certificate)
            shown = {}
        else:
            made = await self._certificates.make(new.common_name, new.ttl)
            client = made.client
            shown = {"certificate": made.chain, "private_key": made.private_key}
        return Answer(
            body=_shown(NewCertificateView(**dict(_view(client)), **shown)),
            location=f"/x509-credentials/{client.id}",
        )

    async def get(self, call: Call) -> Any:
        return _view(await self._certificates.clients.get(Kind.CERTIFICATE, call.path["id"]))

    async def put_state(self, call: Call) -> Any:
        new: NewState = call.body
        return _view(await self._certificates.clients.move(Kind.CERTIFICATE, call.path["id"], new.state))

    async def delete(self, call: Call) -> Answer:
        await self._certificates.clients.remove(Kind.CERTIFICATE, call.path["id"])
        return Answer()


async def _listed(pages: AsyncIterator[list[Client]]) -> AsyncIterator[bytes]:
    gap = b"["
    async for page in pages:
        yield gap + to_json([_view(client) for client in page])[1:-1]
        gap = b","
    yield b"[]" if gap == b"[" else b"]"


def _shown(view: Camel) -> dict[str, Any]:
    """Leave out what was not made here."""
    return view.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _view(client: Client) -> UserView | CertificateView:
    common = {
        "id": client.id,
        "state": client.status,
        "created_date": client.created_ms,
        "updated_date": client.updated_ms,
        "last_use_date": client.last_use_ms,
    }
    known_by = client.known_by
    if isinstance(known_by, User):
        return UserView(**common, username=known_by.username)
    return CertificateView(
        **common,
        common_name=known_by.common_name,
        issuer=known_by.issuer,
        serial_number=known_by.serial,
        not_after=known_by.not_after_ms,
    )
