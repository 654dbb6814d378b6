"""What the chapters share: a client and a server that have shaken hands."""

import pytest

from kaa.protocols.mqtt.client import ClientSession
from kaa.protocols.mqtt.server import ServerSession, SessionState


@pytest.fixture(params=[3, 4, 5], ids=["3.1", "3.1.1", "5"])
def version(request):
    return request.param


@pytest.fixture
def served():
    """Make a server session that has accepted a client of the given version."""

    def make(version, state=None, connect=None, **limits):
        server = ServerSession(**limits)
        server.receive(connect or hello(version))
        server.accept(False, state if state is not None else SessionState())
        server.take_output()
        return server

    return make


@pytest.fixture
def pair(served):
    """Make a client and the server session that has accepted it."""

    def make(version, **limits):
        server = ServerSession(**limits)
        client = ClientSession("c", version=version)
        client.connect()
        server.receive(client.take_output())
        server.accept(False, SessionState())
        client.receive(server.take_output())
        return client, server

    return make


def hello(version):
    return {
        3: bytes.fromhex("100f 0006 4d5149736470 03 02 0000 0001 63"),
        4: bytes.fromhex("100d 0004 4d515454 04 02 0000 0001 63"),
        5: bytes.fromhex("100e 0004 4d515454 05 02 0000 00 0001 63"),
    }[version]
