"""The demo in a process of its own, and Chromium to look at it with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from omniops.variables import NAMES

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
ROOT = Path(__file__).resolve().parent.parent.parent
# Sessions end after half an hour without use, and after ten minutes some pages ask again who it is.
FRESH = 8 * 60
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
LOOKS = {"light": ("desktop", "light"), "dark": ("desktop", "dark"), "phone": ("phone", "light")}
#: What axe-core looks for in each look: all its rules in the first; colours in the dark; labels as cards have them.
RULES: dict[str, tuple[str, ...]] = {"light": (), "dark": ("color-contrast",), "phone": ("label", "list", "link-name")}
#: Milliseconds until what a page is waited for has to be there, on however busy a machine.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass
class Site:
    """The demo as it is served: where, and the password of each login."""

    url: str
    passwords: dict[str, str]
    omnichat: Path


@dataclass
class Watch:
    """What Chromium complained of: errors of scripts, of the network, and of the Content-Security-Policy."""

    complaints: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self._failed(request.url, request.failure))

    def _failed(self, url: str, why: str | None) -> None:
        # A download ends the navigation that asked for it.
        if why != "net::ERR_ABORTED":
            self.complaints.append(f"{url}: {why}")

    def expect_status(self, *codes: int) -> None:
        """Chromium writes down each answer that is no 2xx or 3xx: these were meant."""
        self.complaints[:] = [one for one in self.complaints if not any(f"status of {code} " in one for code in codes)]


def environment(folder: Path) -> dict[str, str]:
    bare = {k: v for k, v in os.environ.items() if k not in NAMES and k.removesuffix("_FILE") not in NAMES}
    urls = {
        "CONSOLE_DATABASE_URL": f"sqlite:///{folder / 'console.sqlite3'}",
        "OMNICHAT_DATABASE_URL": f"sqlite:///{folder / 'omnichat.sqlite3'}",
    }
    return {**bare, **urls, "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="session")
def binary() -> Path:
    if not CHROMIUM.exists():
        pytest.skip(f"missing: chromium, expected at {CHROMIUM} (apt-get install chromium)")
    return CHROMIUM


# Not for the session: while Playwright runs its event loop, Django refuses every query of other tests in this process.
@pytest.fixture(scope="module")
def chromium(binary: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """What `make demo` serves, on a free port."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "manage.py", "run_demo", "--port", "0"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=environment(folder), stdout=subprocess.PIPE, stderr=log, text=True
        ) as served,
    ):
        try:
            yield _told(served, folder)
        finally:
            served.terminate()


def _told(served: subprocess.Popen[str], folder: Path) -> Site:
    """Reads what run_demo prints: the address, then a line `name password role` for each login."""
    assert served.stdout
    url, passwords = "", {}
    for line in served.stdout:
        url = (re.findall(r"http://\S+", line) or [url])[0]
        words = line.split()
        if url and len(words) == 3 and line.startswith("  "):
            passwords[words[0]] = words[1]
        if "Ctrl-C" in line:
            return Site(url.rstrip("/"), passwords, folder / "omnichat.sqlite3")
    raise AssertionError(f"run_demo ended with {served.wait()}: {(folder / 'log').read_text()}")


@pytest.fixture(scope="session")
def sessions() -> dict[str, tuple[Any, float]]:
    """The cookies of each login and since when, so that each logs in once."""
    return {}


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Every test of a page ends with Chromium having had nothing to complain of."""
    watch = Watch()
    yield watch
    assert watch.complaints == []


@pytest.fixture(scope="module")
def contexts(chromium: Browser) -> dict[Any, tuple[BrowserContext, float]]:
    """One context for each role and look, so that what Chromium has fetched once it keeps; and since when logged in."""
    return {}


@pytest.fixture
def enter(
    chromium: Browser,
    site: Site,
    contexts: dict[Any, tuple[BrowserContext, float]],
    sessions: dict[str, tuple[Any, float]],
    watch: Watch,
) -> Iterator[Callable[..., Page]]:
    """`enter("support", "dark")` is a page of Chromium, freshly logged in, in one of the three looks."""
    opened: list[Page] = []

    def context_of(role: str | None, look: str, options: dict[str, Any]) -> tuple[BrowserContext, float]:
        size, scheme = LOOKS[look]
        usual = {"timezone_id": "Europe/Berlin", "locale": "en-GB", "color_scheme": scheme, "reduced_motion": "reduce"}
        described = {"viewport": SIZES[size], "base_url": site.url, **usual, **options}
        state, since = sessions.get(role or "", (None, 0.0))
        context = chromium.new_context(storage_state=state, **described)
        context.set_default_timeout(PATIENCE)
        return context, since

    def enter(role: str | None, look: str = "light", **options: Any) -> Page:
        key = (role, look, *sorted(map(str, options.items())))
        if key not in contexts:
            contexts[key] = context_of(role, look, options)
        context, since = contexts[key]
        page = context.new_page()
        opened.append(page)
        watch.follow(page)
        if role and (not since or time.monotonic() - since > FRESH):
            context.clear_cookies()
            log_in(page, role, site.passwords[role])
            contexts[key] = context, time.monotonic()
            sessions[role] = context.storage_state(), time.monotonic()
        return page

    yield enter
    for page in opened:
        page.close()


def log_in(page: Page, name: str, password: str) -> None:
    page.goto("/admin/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/admin/")


@pytest.fixture
def axe(watch: Watch) -> Callable[..., list[str]]:
    """What axe-core finds serious or critical on a page, or of some `rules` alone, in three rows of a list."""

    def check(page: Page, *rules: str) -> list[str]:
        page.wait_for_load_state()
        options: dict[str, Any] = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
        before = list(watch.complaints)
        found = Axe().run(page, {"exclude": ["#result_list tbody tr:nth-child(n+4)"]}, options).response["violations"]
        # axe-core tries inline styles of its own, which the Content-Security-Policy forbids.
        watch.complaints[:] = before
        grave = [one for one in found if one["impact"] in ("serious", "critical")]
        return [f"{one['id']}: {node['html'][:200]}" for one in grave for node in one["nodes"][:3]]

    return check


@pytest.fixture
def fits(axe: Callable[..., list[str]], picture: Callable[[Page, str], None]) -> Callable[..., None]:
    """`fits(page)`: in each look, or some, a page is no wider than the screen, and axe-core finds nothing serious.

    With a `name` the light look becomes a picture of the documentation, or all of them do (`in_each`).
    """

    def check(page: Page, name: str = "", *, looks: Iterable[str] = LOOKS, in_each: bool = False) -> None:
        page.wait_for_load_state()
        assert page.locator("h1").count() == 1, page.url
        page.evaluate("scroll(0, 0)")
        for look in looks:
            size, scheme = LOOKS[look]
            page.set_viewport_size(SIZES[size])
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (page.url, look)
            assert axe(page, *RULES[look]) == [], (page.url, look)
            if name and in_each:
                picture(page, f"{name}-{look}")
            elif name and look == "light":
                picture(page, name)
        page.set_viewport_size(SIZES["desktop"])
        page.emulate_media(color_scheme="light")

    return check


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """Takes a picture for the documentation, where PICTURES names the folder for it (`make pictures`)."""
    folder = os.environ.get("PICTURES")

    def take(page: Page, name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png")

    return take
