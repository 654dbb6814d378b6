"""How CM is wired into the house."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from kaa.core.config import Duration, Settings
from kaa.core.lifecycle import Core, Instance, Module
from kaa.core.storage.outbox import Outbox
from kaa.protocols import cap, ecap, elce, x_credentials
from kaa.protocols.x_outbox import event_processed

from .api import client_routes, token_routes
from .repository import ClientRepository, TokenRepository
from .service import Certificates, Clients, Passwords, Tokens, Users

# First uses wait for the disk; those that only read pass by meanwhile.
_VALIDATIONS = 4
# So many clients may be asked about at a time besides those that wait for the check of a password.
_AUTHENTICATIONS = 32


class CmConfig(Settings):
    """Settings of a CM instance.

    `register` names the instance whose endpoints its tokens are for; `client_alias` is the second name under which
    the site has the clients' credentials, empty for none; `tls_dir` is where the authority lies. A password costs
    2^`password_cost` of scrypt, `password_threads` are checked at a time, and `password_queue` wait. When credentials
    were used last is written every `last_use_interval`.
    """

    register_: str = Field("epr", alias="register")
    client_alias: str = Field("ccm", pattern=r"^[a-z0-9_-]{0,64}$")
    tls_dir: Path | None = None
    password_cost: int = Field(15, ge=10, le=20)
    password_threads: int = Field(2, ge=1, le=64)
    password_queue: int = Field(64, ge=0, le=10_000)
    last_use_interval_ms: Duration = Field(60_000, ge=1_000)


@asynccontextmanager
async def run(core: Core, instance: Instance[Any], config: CmConfig) -> AsyncIterator[None]:
    """Start, serve until the block is left, stop."""
    name, bus, clock, ids = instance.name, core.bus, core.clock, core.ids
    outbox = Outbox(
        name,
        [ecap.token_revoked(name), ecap.credential_revoked(name), cap.credentials_revoked(originator=name)],
        reply_to=event_processed(instance.replica),
        bus=bus,
        storage=core.storage,
        clock=clock,
        tasks=core.tasks,
    )
    tokens = Tokens(
        name=name,
        register=config.register_,
        tokens=TokenRepository(core.storage, outbox),
        outbox=outbox,
        bus=bus,
        clock=clock,
        ids=ids,
    )
    repository = ClientRepository(core.storage, outbox)
    clients = Clients(name=name, clients=repository, outbox=outbox, bus=bus, clock=clock, ids=ids)
    passwords = Passwords(
        cost=config.password_cost, threads=config.password_threads, queue=config.password_queue, ids=ids
    )
    users = Users(clients=clients, repository=repository, passwords=passwords, clock=clock, ids=ids)
    certificates = Certificates(
        clients=clients, repository=repository, directory=config.tls_dir or core.directory / "tls", clock=clock
    )
    core.http.mount(name, [*token_routes(tokens), *client_routes(users, certificates)])
    if config.client_alias:
        core.http.mount(config.client_alias, client_routes(users, certificates))
    checked = config.password_threads + config.password_queue + _AUTHENTICATIONS
    subscriptions = [
        bus.subscribe_batches(ecap.validate_token(name), tokens.on_validate, queue=name, concurrency=_VALIDATIONS),
        bus.subscribe(ecap.move_token(name), tokens.on_move, queue=name, concurrency=4),
        bus.subscribe(x_credentials.issue_tokens(name), tokens.on_issue, queue=name, concurrency=32),
        bus.subscribe_batches(elce.unregistered(config.register_), tokens.on_unregistered, queue=name, max_batch=100),
        bus.subscribe(cap.authenticate_basic(name), users.on_authenticate, queue=name, concurrency=checked),
        bus.subscribe(
            ecap.validate_username_password(name), users.on_validate, queue=name, concurrency=_AUTHENTICATIONS
        ),
        bus.subscribe(
            cap.authenticate_certificate(name),
            certificates.on_authenticate,
            queue=name,
            concurrency=_AUTHENTICATIONS,
        ),
        bus.subscribe(
            ecap.validate_certificate(name), certificates.on_validate, queue=name, concurrency=_AUTHENTICATIONS
        ),
    ]
    await certificates.adopt()
    async with AsyncExitStack() as stack:
        stack.callback(passwords.close)
        stack.push_async_callback(clients.keep_uses)
        keeping = core.tasks.spawn(clients.keep_uses_every(config.last_use_interval_ms), name=f"{name} last uses")
        stack.push_async_callback(core.tasks.stop, keeping)
        await stack.enter_async_context(outbox.opened())
        for subscription in subscriptions:
            await stack.enter_async_context(subscription)
        core.add_outbox(outbox)
        yield


MODULE = Module(service="cm", config=CmConfig, run=run, migrations="kaa.modules.cm.migrations")
