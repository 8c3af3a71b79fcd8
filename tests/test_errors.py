from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import assistant
from assistant import errors

PACKAGE = Path(assistant.__file__).parent
CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass)]


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    drawn = re.findall(r"^(?:[├└]── )?(\w+Error)  ", errors.__doc__ or "", flags=re.M)
    assert drawn[0] == "AssistantError"
    assert sorted(drawn) == sorted(c.__name__ for c in CLASSES)


@pytest.mark.parametrize("error", [c for c in CLASSES if c is not errors.AssistantError])
def test_every_error_is_caught_as_an_assistant_error_and_as_no_other_kind(error: type[Exception]) -> None:
    assert error.__bases__ == (errors.AssistantError,)
    assert errors.AssistantError.__bases__ == (Exception,)
    with pytest.raises(errors.AssistantError, match="found this"):
        raise error("found this")


def test_the_base_is_never_raised_itself_and_no_other_module_has_errors_of_its_own() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None:
                assert "AssistantError(" not in ast.unparse(node.exc), f"{path.name}:{node.lineno}"
            if isinstance(node, ast.ClassDef) and path.name != "errors.py":
                bases = " ".join(ast.unparse(base) for base in node.bases)
                assert not re.search(r"Error|Exception", bases), f"{path.name}:{node.lineno} class {node.name}"


def test_the_base_is_what_the_package_shows() -> None:
    assert assistant.AssistantError is errors.AssistantError
