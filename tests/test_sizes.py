"""Nothing grows so large that nobody reads it to its end: files, classes and functions have a limit."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("billing", "statements", "journals", "openchargeback", "benchmarks")
FILE, CLASS, FUNCTION = 500, 250, 60


def modules():
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        # Made by Django from the models.
        if "migrations" not in path.parts
    ]


def too_long(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT)
    found = [f"{name}: {lines} lines"] if (lines := text.count("\n")) > FILE else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > (CLASS if isinstance(node, ast.ClassDef) else FUNCTION):
                found.append(f"{name}:{node.lineno} {node.name}: {lines} lines")
    return found


def test_no_file_class_or_function_is_too_long():
    assert not [each for path in modules() for each in too_long(path)]


@pytest.mark.parametrize("what", ["file", "class", "function"])
def test_what_is_too_long_is_found(tmp_path, monkeypatch, what):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    lines = {
        "file": ["a = 1"] * (FILE + 1),
        "class": ["class A:", *["    a = 1"] * CLASS],
        "function": ["def a():", *["    b = 1"] * FUNCTION],
    }[what]
    path = tmp_path / "long.py"
    path.write_text("\n".join(lines) + "\n")
    assert len(too_long(path)) == 1
