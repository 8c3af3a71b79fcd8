"""Holds the plan of rooms: which module may know which dependency, and that imports point one way."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal

import pytest

import assistant

pytestmark = pytest.mark.process

ROOT = Path(assistant.__file__).parents[1]
When = Literal["at once", "later", "for types"]

# Earlier floors first: a module imports from its own floor and from earlier ones. A pattern stands for modules.
FLOORS = {
    "foundations": ("assistant.errors", "assistant.records", "assistant.files"),
    "pure": tuple(
        f"assistant.{name}"
        for name in ("settings", "corpus", "lexis", "chunking", "spelling", "selection", "grounding", "prompt")
    ),
    "slow": tuple(f"assistant.{name}" for name in ("weights", "minilm", "embedding", "ranking", "index", "llm")),
    "composition": (
        *(f"assistant.{name}" for name in ("retrieval", "reader", "pipeline", "wiring", "commands", "cli", "__main__")),
        "assistant",
        "assistant.evaluation",
        "assistant.evaluation.*",
    ),
    "ui": ("ui", "ui.*"),
    "training": ("assistant.training", "assistant.training.*"),
}
UPWARDS = "assistant.commands"  # a command such as `glossary chat` opens the page, and imports it only then

# Who may import what. A dependency that nobody imports any more must leave this table.
SEAMS = {
    "sentence_transformers": ("assistant.embedding", "assistant.training.*"),
    "torch": ("assistant.embedding", "assistant.training.*"),
    "safetensors": ("assistant.minilm", "assistant.training.*"),
    "tokenizers": ("assistant.minilm", "assistant.training.*"),
    "chromadb": ("assistant.index",),
    "langchain_chroma": ("assistant.index",),
    "llama_cpp": ("assistant.llm",),
    "bm25s": ("assistant.retrieval",),
    "Stemmer": ("assistant.lexis",),
    "gradio": ("ui.page",),
    # what only `pip install .[train]` brings
    "transformers": ("assistant.embedding", "assistant.training.*"),
    "peft": ("assistant.training.*",),
    "gguf": ("assistant.training.*",),
}
NETWORK = {"socket", "urllib", "http", "ssl", "ftplib", "smtplib", "requests", "httpx", "aiohttp", "huggingface_hub"}
HEAVY = ("torch", "chromadb", "llama_cpp", "gradio", "sentence_transformers", "transformers", "langchain_chroma")
EXPORTED = [
    "Answer",
    "AssistantError",
    "Citation",
    "Question",
    "Settings",
    "Turn",
    "from_env",
    "open_assistant",
]


@dataclass(frozen=True)
class Import:
    """One name that a module imports, and when."""

    source: str
    target: str
    when: When
    line: int


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for package in ("assistant", "ui") for path in sorted((ROOT / package).rglob("*.py"))}


def imports(source: str, text: str) -> list[Import]:
    """Return all that a module imports, with whatever `from` takes out of a package as a name of its own."""
    return list(_walk(source, ast.parse(text), "at once"))


def _walk(source: str, node: ast.AST, when: When) -> Iterator[Import]:
    yield from _named(source, node, when)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and when == "at once":
        when = "later"
    typing = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    for part, value in ast.iter_fields(node):
        for below in value if isinstance(value, list) else [value]:
            if isinstance(below, ast.AST):
                yield from _walk(source, below, "for types" if typing and part == "body" else when)


def _named(source: str, node: ast.AST, when: When) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(source, alias.name, when, node.lineno)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{source}:{node.lineno}: imports are absolute here"
        for alias in node.names:
            yield Import(source, f"{node.module}.{alias.name}", when, node.lineno)


ALL = [found for name, path in MODULES.items() for found in imports(name, path.read_text(encoding="utf-8"))]


def own(target: str) -> str | None:
    """Return the module of this project that an imported name lives in; None for a dependency."""
    while target not in MODULES:
        target, dot, _ = target.rpartition(".")
        if not dot:
            return None
    return target


def matches(module: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(module, pattern) for pattern in patterns)


def floor(module: str) -> int:
    (found,) = (n for n, patterns in enumerate(FLOORS.values()) if matches(module, patterns))
    return found


INSIDE = [(found, target) for found in ALL if (target := own(found.target))]


# the reader of imports, which the other tests rely on


def test_imports_are_read_wherever_they_stand() -> None:
    text = """
import a.b
from c import d as e
if TYPE_CHECKING:
    from f import g
else:
    import h
try:
    import i
except ImportError:
    class J:
        import k
        def l(self):
            import m
            if typing.TYPE_CHECKING:
                import n
"""
    found = {(i.target, i.when) for i in imports("x", text)}
    assert found == {
        ("a.b", "at once"), ("c.d", "at once"), ("f.g", "for types"), ("h", "at once"), ("i", "at once"),
        ("k", "at once"), ("m", "later"), ("n", "for types"),
    }  # fmt: skip


def test_a_name_belongs_to_the_innermost_module_that_holds_it() -> None:
    assert own("assistant.records.Answer") == "assistant.records"
    assert own("assistant.weights") == "assistant.weights"
    assert own("assistant.evaluation.questions.load") == "assistant.evaluation.questions"
    assert own("assistant.open_assistant") == "assistant"
    assert own("assistants.records") is None and own("numpy") is None


# floors


@pytest.mark.parametrize("module", MODULES)
def test_every_module_stands_on_one_floor(module: str) -> None:
    on = [name for name, patterns in FLOORS.items() if matches(module, patterns)]
    assert len(on) == 1, f"{module} stands on {on}; give it a place in FLOORS"


def test_every_place_of_the_plan_is_taken() -> None:
    patterns = [pattern for floor in FLOORS.values() for pattern in floor]
    assert [pattern for pattern in patterns if not any(fnmatch(module, pattern) for module in MODULES)] == []


def test_imports_point_to_the_same_floor_or_an_earlier_one() -> None:
    names = list(FLOORS)
    wrong = [
        f"{i.source}:{i.line} ({names[floor(i.source)]}) imports {target} ({names[floor(target)]})"
        for i, target in INSIDE
        if floor(target) > floor(i.source) and i.source != UPWARDS
    ]
    assert wrong == []


def test_what_points_upwards_waits_until_it_is_called() -> None:
    upwards = {(i.source, i.when) for i, target in INSIDE if floor(target) > floor(i.source)}
    assert upwards == {(UPWARDS, "later")}


def test_imports_form_no_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for i, target in INSIDE:
        if i.when == "at once" and target != i.source:
            graph[i.source].add(target)
    assert sum(map(len, graph.values())) > len(MODULES), "hardly any imports were found"
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))
    assert order.index("assistant.errors") < order.index("assistant.index") < order.index("assistant.retrieval")


# seams


@pytest.mark.parametrize("dependency", SEAMS)
def test_a_dependency_is_known_in_one_place(dependency: str) -> None:
    users = [i for i in ALL if i.target.partition(".")[0] == dependency]
    strangers = [f"{i.source}:{i.line}" for i in users if not matches(i.source, SEAMS[dependency])]
    assert strangers == [], f"{dependency} belongs into {' and '.join(SEAMS[dependency])}"
    assert users, f"nobody imports {dependency}"


@pytest.mark.parametrize("floor", ["foundations", "pure"])
def test_what_is_pure_knows_no_network_and_no_other_program(floor: str) -> None:
    banned = NETWORK | {"subprocess", "asyncio", "multiprocessing", "threading"} | set(SEAMS) - {"Stemmer"}
    inside = [i for i in ALL if matches(i.source, FLOORS[floor])]
    assert inside
    assert [f"{i.source}:{i.line} {i.target}" for i in inside if i.target.partition(".")[0] in banned] == []


def test_no_import_hides_from_these_tests() -> None:
    hidden = [
        f"{module}:{node.lineno}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("__import__", "import_module")
    ]
    assert hidden == []


def test_only_the_command_line_prints() -> None:
    printing = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "print"
    }
    assert printing == {"assistant.cli", "assistant.commands", "assistant.__main__"}


# the package as it is imported


def loaded_after(*modules: str) -> list[str]:
    """Return the heavy dependencies that a fresh Python has loaded once it has imported `modules`."""
    code = (
        "import importlib, json, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    found: list[str] = json.loads(done.stdout)
    assert done.stderr == "" and done.stdout.count("\n") == 1, "importing prints"
    return found


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("assistant", "assistant.cli", "assistant.settings") == []


def test_importing_every_module_but_the_page_loads_nothing_heavy() -> None:
    skipped = ("assistant.training*", "ui.page", "*.__main__")
    assert loaded_after(*(module for module in MODULES if not matches(module, skipped))) == []


def test_the_package_exports_what_a_caller_needs_and_no_more() -> None:
    assert assistant.__all__ == EXPORTED
    assert all(hasattr(assistant, name) for name in EXPORTED)
