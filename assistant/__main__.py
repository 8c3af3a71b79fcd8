"""Runs the command line as a process: `python -m assistant` is `glossary`. Ctrl-C ends it at any moment."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

GRACE_S = 3.0  # from Ctrl-C to a hard end, for what is written on the way out
STOPPED = 130
_asked = threading.Event()


def run(*before: str) -> NoReturn:
    """Run the command that was typed, with the words `before` in front of it, and end the process with its status."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores Ctrl-C; so do we
        signal.signal(signal.SIGINT, _stop)
    try:
        from assistant.cli import main  # inside, because a moment to stop is while Python still imports

        status = main([*before, *sys.argv[1:]])
    except BaseException:
        if not _asked.is_set():
            raise
        # not always a KeyboardInterrupt: pydantic turns one that comes while it builds a class into its own error
        print("glossary: stopped", file=sys.stderr)
        status = STOPPED
    if status == STOPPED:
        _end()
    sys.exit(status)


def _stop(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, and end the process even if a library swallows it, as C callbacks do."""
    _asked.set()
    threading.Thread(target=_end, args=(GRACE_S,), daemon=True).start()
    raise KeyboardInterrupt


def _end(after_s: float = 0.0) -> None:
    """End the process without waiting for threads. What is on disk is whole at every moment, as after a crash."""
    if after_s:
        threading.Event().wait(after_s)
        show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar had hidden it
        print(f"{show_cursor}glossary: stopped", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # its reader went away
            continue
    os._exit(STOPPED)


if __name__ == "__main__":
    run()
