"""`python -m ui` is `glossary chat`."""

from assistant.__main__ import run

if __name__ == "__main__":
    run("chat")
