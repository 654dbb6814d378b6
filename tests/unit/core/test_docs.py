"""The page of documents, and the way a browser shows a key."""

import base64
import sys

import aiohttp
import pytest
from fakes.site import Client, House, Open, get, give, post

from kaa.core.auth import Role
from kaa.core.http import Answer


def basic(key: str, user: str = "anybody") -> str:
    return "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()


@pytest.fixture
def house() -> House:
    made = House()
    made.mount(get("/things", lambda _: give([])), post("/things", lambda _: give(Answer(body={})), returns=dict))
    return made


class Browser:
    """Somebody with a key as a browser has it."""

    def __init__(self, client: Client, key: str) -> None:
        self._client, self.key = client, key

    async def __call__(
        self, method: str, path: str, authorization: str | None = None, **headers: str
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        shown = {"Authorization": basic(self.key) if authorization is None else authorization}
        sent = shown | {name.replace("_", "-"): value for name, value in headers.items()}
        address = f"http://{self._client.host}:{self._client.port}"
        async with (
            aiohttp.ClientSession(headers={k: v for k, v in sent.items() if v}) as session,
            session.request(method, address + path) as response,
        ):
            return response, await response.read()

    @property
    def origin(self) -> str:
        return f"http://{self._client.host}:{self._client.port}"


@pytest.fixture
async def browser(house: House):
    _, key = await house.keys.make(Role.OPERATOR)
    async with Open(house) as client:
        yield Browser(client, key)


async def test_a_browser_that_shows_no_key_is_asked_for_one_on_the_page_and_nowhere_else(browser) -> None:
    for path in ("/docs", "/docs/swagger-ui.css", "/docs/start.js"):
        response, _ = await browser("GET", path, "")
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith('Basic realm="kaa"')
    for path in ("/openapi.json", "/metrics", "/epr/api/v1/things"):
        response, _ = await browser("GET", path, "")
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_the_page_and_its_parts_run_no_script_but_the_servers_own(browser) -> None:
    response, page = await browser("GET", "/docs")
    assert response.status == 200
    assert response.content_type == "text/html"
    assert b"<script>" not in page
    assert b"http" not in page.replace(b"http-equiv", b"")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("swagger-ui.css", "text/css"),
        ("swagger-ui-bundle.js", "text/javascript"),
        ("start.js", "text/javascript"),
        ("favicon-32x32.png", "image/png"),
    ],
)
async def test_a_part_of_the_page_is_kept_by_the_browser_and_by_nobody_between(browser, name, content_type) -> None:
    response, body = await browser("GET", f"/docs/{name}")
    assert response.status == 200
    assert body
    assert response.content_type == content_type
    assert response.headers["Cache-Control"].startswith("private, max-age=")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    if "ETag" in response.headers:
        again, body = await browser("GET", f"/docs/{name}", If_None_Match=response.headers["ETag"])
        assert (again.status, body) == (304, b"")


@pytest.mark.parametrize("name", ["index.css", "swagger-editor-bundle.js", "..%2Fcore.py", "%2e%2e", "x"])
async def test_nothing_else_of_the_package_is_given(browser, name) -> None:
    response, _ = await browser("GET", f"/docs/{name}")
    assert response.status == 404


async def test_the_code_of_the_package_is_never_run(browser) -> None:
    await browser("GET", "/docs/swagger-ui.css")
    assert "swagger_ui" not in sys.modules


async def test_a_key_may_be_the_password_of_http_basic(browser) -> None:
    for user in ("anybody", "", "a b"):
        response, _ = await browser("GET", "/epr/api/v1/things", basic(browser.key, user))
        assert response.status == 200


@pytest.mark.parametrize(
    "shown", [basic("wrong"), basic(""), "Basic", "Basic x", "Basic w6Q=", "Basic ////", "Basic é"]
)
async def test_whatever_else_stands_there_is_no_key(browser, shown) -> None:
    response, body = await browser("GET", "/epr/api/v1/things", shown)
    assert response.status == 401
    assert b"message" in body


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},  # another port of this machine is one
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/epr/api/v1/things"), ("GET", "/docs")])
async def test_a_request_of_another_site_does_not_have_the_key_that_the_browser_remembers(
    browser, method, path, headers
) -> None:
    response, body = await browser(method, path, **headers)
    assert response.status == 403
    assert b"another site" in body
    response, _ = await browser(method, path, f"Bearer {browser.key}", **headers)
    assert response.status == 200, "who sends the key himself knows what he does"


async def test_a_request_of_the_page_itself_has_it(browser) -> None:
    for headers in (
        {"Sec_Fetch_Site": "same-origin", "Origin": "http://named.otherwise.by.a.proxy"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": browser.origin},
        {},
    ):
        response, _ = await browser("POST", "/epr/api/v1/things", **headers)
        assert response.status == 200, headers
