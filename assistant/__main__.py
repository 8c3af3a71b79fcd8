"""Calls the command line: `python -m assistant` is `glossary`."""

import sys

from assistant.cli import main

if __name__ == "__main__":
    sys.exit(main())
