"""Serves the page for the browser tests: `python -m tests.browser.serve PORT DATA_DIR [--real] [--pace S] …`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant import from_env
from assistant.errors import WeightsError
from tests.browser.scripted import ScriptedAssistant
from ui import app
from ui.about import is_loopback


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--real", action="store_true", help="the real models")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--pace", type=float, default=0.05, help="seconds for a sentence")
    parser.add_argument("--gate", type=Path, help="loading waits until this file is there")
    parser.add_argument("--broken", action="store_true", help="loading fails")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--auth")
    given = parser.parse_args()
    settings = from_env({}, data_dir=given.data_dir, corpus=given.corpus)

    def open_scripted(say: Callable[[str], None], progress: Callable[[int, int], None]) -> Any:
        say("reading the glossary …")
        progress(20, 100)
        while given.gate and not given.gate.exists():
            time.sleep(0.02)
        if given.broken:
            raise WeightsError("no model file; expected the bundled one: run 'make setup'")
        return ScriptedAssistant(settings.corpus, given.pace)

    auth = app.checked_auth(given.host, given.auth)
    page, desk = app.build(settings, None if given.real else open_scripted, shared=not is_loopback(given.host))
    app.serve(page, given.host, given.port, auth)
    sys.stdout.write("served\n")
    sys.stdout.flush()
    desk.start()
    page.blocks.block_thread()


if __name__ == "__main__":
    main()
