"""The report in a real browser: sorting, filtering, pictures, and no request.

Chromium is driven by the DevTools protocol over two pipes, which takes no port and no further package.
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ssl_zoo.compare.compare import compare

pytestmark = pytest.mark.slow

TABLE = "document.querySelectorAll('section:not(#across) table')[0]"
SHOWN = f"[...{TABLE}.tBodies[0].rows].filter(row => row.checkVisibility())"
HEAD = f"[...{TABLE}.querySelectorAll('button')].find(b => b.textContent == '{{}}')"

PATIENCE = 120  # seconds for one answer, on a machine that has much else to do


def find_chromium() -> str:
    """The browser; Debian's is installed where it is missing and may be, and the test skipped where it may not."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-qq", *command], capture_output=True)
        found = shutil.which("chromium")
    if found is None:
        pytest.skip("There is no Chromium: install Debian's package, or let the environment's CHROMIUM name one.")
    return found


class Page:
    """One page. What happens to it is kept in `events`.

    Args:
        browser: path of Chromium.
        folder: for its profile.
    """

    def __init__(self, browser: str, folder: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self._unread, self._number, self._session = b"", 0, None
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (*os.pipe(), *os.pipe())]  # clear of 3 and 4
        commands, self._write, self._read, answers = ends
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--remote-debugging-pipe", f"--user-data-dir={folder}", "--window-size=1300,900"]  # fmt: skip
        shell = ["bash", "-c", f'exec "$0" "$@" 3<&{commands} 4>&{answers}', browser, *options]
        self._process = subprocess.Popen(shell, pass_fds=(commands, answers), stderr=subprocess.DEVNULL)
        os.close(commands)
        os.close(answers)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def open(self, path: Path) -> None:
        """Loads a file and waits until it is there, pictures and all."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        self._wait(lambda: self.happened("Page.loadEventFired"))

    def evaluate(self, expression: str) -> Any:
        """The value of JavaScript, a promise's when it is kept."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def click(self, element: str) -> None:
        """A press of the left mouse button on an element, given as JavaScript."""
        self.evaluate(f"({element}).scrollIntoView({{block: 'center', inline: 'center'}})")
        box = self.evaluate(f"JSON.stringify(({element}).getBoundingClientRect())")
        left, top, width, height = (json.loads(box)[name] for name in ("left", "top", "width", "height"))
        place = {"x": left + width / 2, "y": top + height / 2, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **place)

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def happened(self, method: str) -> list[dict[str, Any]]:
        """What the browser has reported of this kind."""
        return [event["params"] for event in self.events if event["method"] == method]

    def call(self, method: str, **settings: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": settings}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answers: list[dict[str, Any]] = []
        self._wait(lambda: bool(answers), answers)
        assert "error" not in answers[0], (method, answers[0])
        return answers[0]["result"]

    def close(self) -> None:
        """Ends the browser."""
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        self._process.wait()

    def _wait(self, done: Any, answers: list[dict[str, Any]] | None = None) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            received = os.read(self._read, 1 << 16)
            assert received, "Chromium has ended"
            *messages, self._unread = (self._unread + received).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message and answers is not None:
                    answers.append(message)
                else:
                    self.events.append(message)


@pytest.fixture
def page(write_run, tmp_path) -> Iterator[Page]:
    """The report of four methods, one of them with a name that would be a script if it were not text."""
    baselines = {"untrained encoder": {"1": 0.3, "all": 0.7}, "raw inputs": {"1": 0.2, "all": 0.83}}
    write_run("simclr/0", "SimCLR", linear={"1": 0.5, "all": 0.9}, baselines=baselines, budget={"seconds": 50.0})
    write_run(
        "vae/0", "VAE", linear={"1": 0.6, "all": 0.8}, baselines=baselines, rotation=0.5, budget={"seconds": 400.0}
    )
    evil = "<img src='http://example.org/x.png' onerror='document.title = 1'>"
    write_run("evil/0", evil, linear={"1": 0.4, "all": 0.75}, baselines=baselines, rotation=1.0, budget={"flops": None})
    write_run("bert/0", "BERT", linear={"1": 0.1, "all": 0.6}, source="Texts", modality="text", split="t")
    compare([tmp_path / "runs"], tmp_path / "out")
    page = Page(find_chromium(), tmp_path / "profile")
    try:
        page.open(tmp_path / "out" / "report.html")
        yield page
    finally:
        page.close()


def column(page: Page, name: str) -> list[str]:
    """The texts of a column of the first table of one data set, top to bottom, hidden rows left out."""
    place = f"{HEAD.format(name)}.closest('th').cellIndex"
    return json.loads(page.evaluate(f"JSON.stringify({SHOWN}.map(row => row.cells[{place}].textContent))"))


def test_the_report_in_a_browser(page):
    # Sorting: numbers by size and not as text, empty cells last in either direction, names by the alphabet.
    assert column(page, "linear all") == ["97.0", "90.0", "83.0", "80.0", "75.0", "70.0"]
    page.click(HEAD.format("linear 1"))
    assert column(page, "linear 1") == ["60.0", "50.0", "40.0", "30.0", "20.0", ""]
    page.click(HEAD.format("linear 1"))
    assert column(page, "linear 1") == ["20.0", "30.0", "40.0", "50.0", "60.0", ""]
    assert page.evaluate("document.querySelectorAll('th[aria-sort]').length") == 1
    page.click(HEAD.format("experiment"))
    found = column(page, "experiment")
    assert found == sorted(found, key=str.lower) and len(found) == 6
    page.click(HEAD.format("#"))
    assert column(page, "#") == ["1", "2", "3", "", "", ""]

    # Filtering by words, by method, by modality and by kind.
    everything = page.evaluate("document.getElementById('count').textContent")
    page.click("document.querySelector('input[type=search]')")
    page.type("RESNET vae")
    assert column(page, "experiment") == ["vae"]
    page.click("document.querySelector('button[type=reset]')")
    page.evaluate("new Promise(resolve => setTimeout(resolve, 50))")
    assert page.evaluate("document.getElementById('count').textContent") == everything
    page.click("document.querySelector('input[name=method][value=SimCLR]')")
    assert "simclr" not in column(page, "experiment") and len(column(page, "experiment")) == 5
    page.click("document.querySelector('input[name=kind][value=baseline]')")
    assert len(column(page, "experiment")) == 3
    page.click("document.querySelector('input[name=modality][value=image]')")
    assert column(page, "experiment") == []
    rows = (
        "[...document.querySelectorAll('section:not(#across) tbody tr[data-kind]')]"  # those there have all modalities
    )
    texts = f"{rows}.filter(row => row.checkVisibility())"
    assert set(json.loads(page.evaluate(f"JSON.stringify({texts}.map(row => row.dataset.modality))"))) == {"text"}

    # Every picture shows, and there are no others: a name is text.
    pictures = json.loads(page.evaluate("JSON.stringify([...document.images].map(one => one.naturalWidth))"))
    assert len(pictures) == 1 + 5 + 4 and min(pictures) > 250  # the overview; nothing is alike with one method
    assert page.evaluate("document.title").startswith("Self-supervised methods")

    # Each has its description, which is more than its title.
    described = json.loads(page.evaluate("JSON.stringify([...document.images].map(one => one.alt))"))
    assert all("on test data: " in words and " %" in words for words in described)

    # On a phone and on a laptop the page is as wide as the screen, and what is wider scrolls in its box.
    for width in (390, 1280):
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=False)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        boxes = "[...document.querySelectorAll('table, figure img')].map(one => one.parentElement.className)"
        assert set(json.loads(page.evaluate(f"JSON.stringify({boxes})"))) == {"scroll"}
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=False)
    # Letters of ten points are some 18 of the pictures' pixels high, and are no smaller than 10 of the screen's here.
    shown = "JSON.stringify([...document.images].map(one => one.clientWidth / one.naturalWidth))"
    assert min(json.loads(page.evaluate(shown))) > 10 / 18
    page.click("document.querySelector('button[type=reset]')")
    page.evaluate("new Promise(resolve => setTimeout(resolve, 50))")
    # The names stay where they are while numbers move below them.
    name, box = "section:not(#across) tbody td:nth-child(2)", "section:not(#across) .scroll:has(table)"
    page.evaluate(f"document.querySelector('{box}').scrollLeft = 200")
    assert page.evaluate(f"document.querySelector('{box}').scrollLeft") == 200
    left, edge = (f"document.querySelector('{each}').getBoundingClientRect().left" for each in (name, box))
    assert page.evaluate(left) == page.evaluate(edge)
    # Across modalities the names are the first column.
    first, second = (f"#across td:nth-child({place})" for place in (1, 2))
    shown = "getComputedStyle(document.querySelector('{}')).position"
    assert [page.evaluate(shown.format(each)) for each in (first, second)] == ["sticky", "static"]

    # Nothing was asked for but the page itself, and nothing went wrong.
    asked = [event["request"]["url"] for event in page.happened("Network.requestWillBeSent")]
    assert len([url for url in asked if url.endswith("report.html")]) == 1
    assert all(url.startswith("data:image/png") or url.endswith("report.html") for url in asked)
    assert page.happened("Log.entryAdded") == page.happened("Runtime.exceptionThrown") == []

    # Even a script that got in could ask for nothing: this shows too that a request would have been noticed.
    refused = "fetch('http://example.org').then(() => 'sent', error => error.name)"
    assert page.evaluate(refused) == "TypeError"
    assert "Content Security Policy" in json.dumps(page.happened("Log.entryAdded"))
