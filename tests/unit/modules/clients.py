"""What the tests of CM's client credentials share: making them, and asking whether they are good."""

from typing import Any

from house import House, Reply

from kaa.modules.cm.module import MODULE as CM
from kaa.protocols import cap, ecap

API = "/cm/api/v1"
BASIC, X509 = f"{API}/basic-credentials", f"{API}/x509-credentials"
NOW = "2025-11-24T16:00:00.000Z"
ASK_BASIC, ASK_CERTIFICATE = cap.authenticate_basic("cm"), cap.authenticate_certificate("cm")
OLD_BASIC, OLD_CERTIFICATE = ecap.validate_username_password("cm"), ecap.validate_certificate("cm")
CHEAP = {"password-cost": 10}
"""A password in a millisecond."""


async def start(house: House, **config: Any) -> None:
    await house.start(CM, config=CHEAP | config)


async def add_user(house: House, username: str = "gateway", password: str | None = "correct horse") -> Any:
    body = {"username": username} | ({"password": password} if password is not None else {})
    reply = await house.call("POST", BASIC, body)
    assert reply.status == 201, reply
    return reply.json


async def add_certificate(house: House, **body: Any) -> Any:
    reply = await house.call("POST", X509, body)
    assert reply.status == 201, reply
    return reply.json


async def login(house: House, username: str = "gateway", password: str = "correct horse", tenant: str = "kaa") -> Any:
    return await house.request(ASK_BASIC, tenant_id=tenant, username=username, password=password)


async def show(house: House, certificate: Any) -> Any:
    """Ask about a certificate as KPC does, by what is in it."""
    issuer, serial = certificate["issuer"], certificate["serialNumber"]
    return await house.request(ASK_CERTIFICATE, issuer=issuer, serial_number=serial)


async def move(house: House, path: str, client_id: str, state: str) -> Reply:
    return await house.call("PUT", f"{path}/{client_id}/state", {"state": state})
