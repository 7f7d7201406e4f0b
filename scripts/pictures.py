"""Take the pictures that the README and the docs show, from a Hone that runs: wide and light, and narrow and dark.

make pictures                 of http://127.0.0.1:7861
python scripts/pictures.py ADDRESS
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ADDRESS = "http://127.0.0.1:7861"
FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
PAGES = {
    "overview": "/",
    "data": "/data",
    "train": "/train",
    "jobs": "/jobs",
    "job": "/job?id=1",
    "models": "/models",
    "playground": "/playground",
    "arena": "/arena",
    "board": "/arena?view=board",
}
SETTLE_MILLISECONDS = 3000


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else ADDRESS
    FOLDER.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("HONE_CHROMIUM") or shutil.which("chromium")
    options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        for name, path in PAGES.items():
            take(browser, address + path, FOLDER / f"{name}.png", width=1440, dark=False)
            take(browser, address + path, FOLDER / f"{name}-narrow-dark.png", width=390, dark=True)
        browser.close()


def take(browser: Browser, address: str, file: Path, *, width: int, dark: bool) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
    page.goto(address)
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    page.screenshot(path=file)
    page.close()
    print(file)


if __name__ == "__main__":
    main()
