"""A real browser on the viewer's pages; what it does that it should not is written down."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, CDPSession, Page, Request, sync_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
PATIENCE_MS = 60_000  # on a busy machine a page may take seconds
_NAMED = {"button", "link", "textbox", "searchbox", "checkbox", "combobox", "spinbutton"}


@dataclass
class Watched:
    """A page, and all that went wrong on it: errors, refused scripts, dialogs, other hosts."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    def open(self, address: str) -> Page:
        """Go there, and wait until nothing is read behind the page any more."""
        self.page.goto(address)
        self.page.wait_for_selector("main:not([data-live]), body:not(:has(main))")
        return self.page

    def nameless(self) -> list[str]:
        """Controls that a screen reader has no name for."""
        session: CDPSession = self.page.context.new_cdp_session(self.page)
        found = session.send("Accessibility.getFullAXTree")["nodes"]
        session.detach()
        kept = (n for n in found if not n.get("ignored") and n["role"]["value"] in _NAMED)
        return [n["role"]["value"] for n in kept if not n.get("name", {}).get("value", "").strip()]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, base: str = "", *, width: int = 1280) -> Iterator[Watched]:
    """A page of a browser that knows nothing yet; relative addresses are of `base`."""
    context = browser.new_context(base_url=base or None, viewport={"width": width, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    found = Watched(page)
    own = urlsplit(base).netloc
    page.on("console", lambda m: found.wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: found.wrong.append(str(error)))
    page.on("requestfailed", lambda r: found.wrong.append(r.url) if _broken(r) else None)
    page.on("request", lambda r: found.wrong.append(r.url) if _elsewhere(r.url, own) else None)

    def refuse(dialog: object) -> None:
        found.wrong.append("a dialog")
        dialog.dismiss()  # type: ignore[attr-defined]

    page.on("dialog", refuse)
    yield found
    context.close()


def _broken(request: Request) -> bool:
    """Whether a request failed; what a page asks in the background ends when it is left."""
    return request.failure != "net::ERR_ABORTED"


def _elsewhere(url: str, own: str) -> bool:
    """Whether an address is of another host; what a page or its file holds itself is not."""
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob", "file") and parts.netloc != own


@contextmanager
def served(store: Path) -> Iterator[str]:
    """The address of `harness view` on a store, in a process of its own."""
    command = [sys.executable, "-m", "harness", "view", "--store", str(store), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        try:
            yield next(word for word in told.split() if word.startswith("http"))
        finally:
            process.terminate()
