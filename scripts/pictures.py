"""Take the pictures that the README shows, from a Hone that runs and in which the tour was walked.

make pictures                 of http://127.0.0.1:7861
python scripts/pictures.py ADDRESS
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ADDRESS = "http://127.0.0.1:7861"
FOLDER = Path(__file__).parent.parent / "docs" / "pictures"


@dataclass(frozen=True)
class Picture:
    """One screen; `follow` is the link on it that leads to what is shown."""

    name: str
    path: str
    follow: str = ""
    width: int = 1440
    is_dark: bool = False


PICTURES = (
    Picture("overview", "/"),
    Picture("job", "/jobs?recipe=dpo&search=willow-dpo", follow=".h-jobs a[href^='/job?id=']"),
    Picture("playground", "/playground", follow=".h-pg-history a"),
    Picture("board", "/board"),
    Picture("models-narrow-dark", "/models", width=390, is_dark=True),
)
SETTLE_MILLISECONDS = 3000


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else ADDRESS
    FOLDER.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("HONE_CHROMIUM") or shutil.which("chromium")
    options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        for picture in PICTURES:
            take(browser, address, picture)
        browser.close()


def take(browser: Browser, address: str, picture: Picture) -> None:
    scheme = "dark" if picture.is_dark else "light"
    page = browser.new_page(viewport={"width": picture.width, "height": 900}, color_scheme=scheme)
    page.goto(address + picture.path)
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    if picture.follow:
        page.locator(picture.follow).first.click()
        page.wait_for_timeout(SETTLE_MILLISECONDS)
    file = FOLDER / f"{picture.name}.png"
    page.screenshot(path=file)
    page.close()
    print(file)


if __name__ == "__main__":
    main()
