"""The page of documents in a real browser: it lists what there is, and what is tried is answered."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import browsing
from hosts import Place
from waiting import until

pytestmark = pytest.mark.any_bus

PATIENCE_S = 30
OPERATION = "#operations-tekton-tekton_get_applications"


async def test_a_person_reads_the_page_and_tries_an_operation(place: Place, tmp_path: Path, shared_process) -> None:
    name = await place.rest.application()
    document = await place.rest.get("/openapi.json")
    operations = sum(len(path) for path in document["paths"].values())
    async with browsing(tmp_path / "profile", shared_process.key) as tab:
        await tab.call("Page.navigate", url=f"{place.rest.url}/docs")

        async def shows(script: str) -> None:
            async def is_so() -> bool:
                return bool(await tab.evaluate(f"Boolean({script})"))

            await until(is_so, within_s=PATIENCE_S)

        await shows(f"document.querySelectorAll('.opblock').length === {operations}")
        assert tab.is_password_asked
        await tab.evaluate(f"document.querySelector('{OPERATION} .opblock-summary-control').click()")
        await shows(f"document.querySelector('{OPERATION} .try-out__btn')")
        await tab.evaluate(f"document.querySelector('{OPERATION} .try-out__btn').click()")
        await shows(f"document.querySelector('{OPERATION} .execute')")
        await tab.evaluate(f"document.querySelector('{OPERATION} .execute').click()")
        answer = f"document.querySelector('{OPERATION} .live-responses-table .response')"
        await shows(answer)
        status = await tab.evaluate(f"{answer}.querySelector('.response-col_status').innerText")
        assert status.split() == ["200"]
        assert json.dumps(name) in await tab.evaluate(f"{answer}.innerText")
    assert {urlsplit(url).netloc for url in tab.requested if not url.startswith("data:")} == {
        urlsplit(place.rest.url).netloc
    }
    assert any("/tekton/api/v1/applications" in url for url in tab.requested)
    assert tab.complaints == []
