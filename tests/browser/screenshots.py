"""Takes the README's screenshots from the running page with the real models: `make screenshots`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time

from playwright.sync_api import expect, sync_playwright

from tests.browser.conftest import OPTIONS, ROOT, free_port

# a comparison and a list: the last answer on the picture rests on several sources
QUESTIONS = (
    "Compare post-training quantization and quantization-aware training.",
    "Which compression techniques are there?",
)
SHOTS = (("light", 1280, 800, "light"), ("dark", 1280, 800, "dark"), ("narrow", 390, 844, "light"))


def main() -> int:
    """Serve the page, have a conversation in each size and colour scheme, and write docs/NAME.png."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.stderr.write("screenshots: no Chromium here; install it, e.g. apt-get install chromium\n")
        return 1
    port = free_port()
    with tempfile.TemporaryDirectory() as data_dir, sync_playwright() as playwright:
        command = [sys.executable, "-m", "assistant", "chat", "--port", str(port), "--data-dir", data_dir]
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        browser = playwright.chromium.launch(executable_path=chromium, args=list(OPTIONS))
        try:
            for name, width, height, scheme in SHOTS:
                page = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    device_scale_factor=1.5,
                ).new_page()
                for _ in range(60):
                    try:
                        page.goto(f"http://127.0.0.1:{port}/")
                        break
                    except Exception:  # the server is not up yet
                        time.sleep(1)
                for question in QUESTIONS:
                    page.locator("#box textarea").fill(question)
                    page.locator("#box textarea").press("Enter")
                    expect(page.locator("#running h2")).to_have_text(question)
                    expect(page.locator("#running [data-do=copy]")).to_be_visible(timeout=60_000)
                if width >= 1024:  # narrower, the sources lie folded under the answer
                    page.locator("#running .marker").first.click()
                    page.mouse.move(0, 0)
                    page.locator("#box textarea").focus()
                page.wait_for_timeout(800)
                page.screenshot(path=ROOT / "docs" / f"{name}.png")
        finally:
            browser.close()
            server.terminate()
            server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
