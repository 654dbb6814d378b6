"""A browser without a window, driven over its DevTools protocol."""

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from waiting import until

from kaa.core.tasks import Tasks

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    # nothing but this machine has a name
    *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0"),
)
ANSWER_S = 20


def chromium() -> str:
    """Where the browser is; the test is skipped where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no chromium here")
    return found


class Tab:
    """One page; what it asks for and what it complains of are kept."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, password: str, tasks: Tasks) -> None:
        self._socket, self._password, self._tasks = socket, password, tasks
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self.is_password_asked = False

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser, and give its answer."""
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(ANSWER_S):
            return await self._answers[number]

    async def evaluate(self, script: str) -> Any:
        """Run a line in the page, and give its value."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def listen(self) -> None:
        """Take what the browser tells, until it is gone."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                future = self._answers.pop(told["id"])
                if future.done():
                    continue
                if "error" in told:
                    future.set_exception(AssertionError(told["error"]))
                else:
                    future.set_result(told["result"])
            else:
                self._hear(told["method"], told["params"])

    def _hear(self, event: str, params: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning", "assert"}:
            self.complaints.append(json.dumps(params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(json.dumps(params["entry"]))
        elif event == "Fetch.requestPaused":
            self._say("Fetch.continueRequest", requestId=params["requestId"])
        elif event == "Fetch.authRequired":
            # what a person does in the window that the browser opens
            self.is_password_asked = True
            answer = {"response": "ProvideCredentials", "username": "me", "password": self._password}
            self._say("Fetch.continueWithAuth", requestId=params["requestId"], authChallengeResponse=answer)

    def _say(self, method: str, **params: Any) -> None:
        self._tasks.spawn(self.call(method, **params), name=method)


@asynccontextmanager
async def browsing(directory: Path, password: str) -> AsyncIterator[Tab]:
    """Open a browser with a new profile and one empty page; it answers whoever wants a password with this one."""
    process = _started([chromium(), *FLAGS, f"--user-data-dir={directory}", "about:blank"], directory.parent)
    tasks = Tasks()
    try:
        port_file = directory / "DevToolsActivePort"
        await until(lambda: port_file.exists() and port_file.read_text().count("\n") > 0, within_s=ANSWER_S)
        port = port_file.read_text().split("\n")[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as listed:
                (page,) = [one for one in await listed.json() if one["type"] == "page"]
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket, password, tasks)
                tasks.spawn(tab.listen(), name="listen")
                for domain in ("Page", "Network", "Runtime", "Log"):
                    await tab.call(f"{domain}.enable")
                await tab.call("Fetch.enable", handleAuthRequests=True)
                yield tab
    finally:
        await tasks.stop_all()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _started(command: list[str], directory: Path) -> "subprocess.Popen[bytes]":
    with (directory / "browser.log").open("wb") as log:
        # a group of its own: a browser is many processes
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
