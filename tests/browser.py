"""Debian's Chromium, headless, on pages of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--disable-dev-shm-usage",
)  # fmt: skip
PATIENCE = 60.0


@contextlib.contextmanager
def chromium(profile: Path, width: int = 1600, height: int = 1100) -> Iterator[Browser]:
    """Open a browser with an empty profile; the test is skipped where Debian's packages are not installed."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("Debian's packages chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for switch in (*SWITCHES, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(switch)
    # Last in line for the processor: Triton takes a process of its own that has to wait a second for dead.
    service = Service(driver, popen_kw={"preexec_fn": lambda: os.nice(15)})
    opened = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(opened, profile.with_suffix(".png"))
    finally:
        opened.quit()


class Browser:
    """What a person does on a page.

    Args:
        driver: selenium's.
        failed: file for a picture of the page when something is not there.
    """

    def __init__(self, driver: Any, failed: Path) -> None:
        self.driver, self.failed = driver, failed

    def open(self, address: str) -> None:
        """Open an address, also when only the part behind `#` changes."""
        self.driver.get("about:blank")
        self.driver.get(address)

    def text(self) -> str:
        """Return what the page shows."""
        return self.driver.find_element("css selector", "body").text

    def wait_for(self, text: str) -> None:
        """Wait until the page shows a text."""
        self._until(lambda: text in self.text(), f"the page does not show '{text}'")

    def wait_for_pictures(self) -> None:
        """Wait until every picture of the page is there."""
        script = "return [...document.images].every(image => image.complete && image.naturalWidth)"
        self._until(lambda: self.driver.execute_script(script), "a picture of the page does not load")

    def element(self, selector: str, text: str | None = None) -> Any:
        """Return the first element of a CSS selector, with this text if one is given."""
        found: list[Any] = []

        def there() -> bool:
            elements = self.driver.find_elements("css selector", selector)
            found[:] = [one for one in elements if text is None or one.text.strip() == text]
            return bool(found)

        self._until(there, f"the page has no {selector} {text or ''}")
        return found[0]

    def click(self, selector: str, text: str | None = None) -> None:
        """Click an element."""
        self._until(lambda: self._clicked(self.element(selector, text)), f"{selector} {text or ''} cannot be clicked")

    def dismiss(self, selector: str, patience: float = 3.0) -> None:
        """Click an element if it appears soon."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if any(self._clicked(one) for one in self.driver.find_elements("css selector", selector)):
                return
            time.sleep(0.2)

    def _clicked(self, element: Any) -> bool:
        from selenium.common.exceptions import WebDriverException

        try:
            element.click()
        except WebDriverException:
            return False
        return True

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        from selenium.common.exceptions import StaleElementReferenceException

        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(StaleElementReferenceException):
                if condition():
                    return
            time.sleep(0.2)
        self.driver.save_screenshot(str(self.failed))
        raise AssertionError(f"{what}; see {self.failed}")
