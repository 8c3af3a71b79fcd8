"""Runs the command line as a process: `python -m assistant` is `glossary`. Ctrl-C ends it at any moment."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

GRACE_S = 3.0  # from Ctrl-C to a hard end, for what is written on the way out
STOPPED = 130
_asked = threading.Event()


def run(*before: str) -> NoReturn:
    """Run the command that was typed, with the words `before` in front of it, and end the process.

    Its status is the command's; 130 after Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores Ctrl-C; so do we
        signal.signal(signal.SIGINT, _stop)
    try:
        from assistant.cli import main  # inside, because a moment to stop is while Python still imports

        sys.exit(main([*before, *sys.argv[1:]]))
    except BaseException:
        if not _asked.is_set():
            raise
        _end()  # not always a KeyboardInterrupt: pydantic turns one that comes while it builds a class into its own


def _stop(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, and end the process even if a library swallows it, as C callbacks do."""
    _asked.set()
    threading.Thread(target=_end, args=(GRACE_S,), daemon=True).start()
    raise KeyboardInterrupt


def _end(after_s: float = 0.0) -> NoReturn:
    """End the process without waiting for threads. What is on disk is whole at every moment, as after a crash."""
    time.sleep(after_s)
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar may have hidden it
    print(f"{show_cursor}glossary: stopped", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # its reader went away
            continue
    os._exit(STOPPED)


if __name__ == "__main__":
    run()
