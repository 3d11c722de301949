"""Rules that keep the code simple, checked on its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import raypipe

ROOT = Path(raypipe.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.fixture(params=FILES, ids=names(FILES))
def path(request) -> Path:
    return request.param


@pytest.fixture
def tree(path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Yield public classes and functions, and the public methods of the classes."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


def test_there_is_code() -> None:
    assert len(FILES) > 50


def test_files_are_short(path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_everything_public_is_documented(tree) -> None:
    assert ast.get_docstring(tree), "a file says what it is for"
    bare = [name for name, node in public(tree.body) if not ast.get_docstring(node)]
    assert bare == []


def test_ray_is_imported_in_the_engine_and_the_flows_only(path, tree) -> None:
    uses = any(name.split(".")[0] == "ray" for name in imports(tree))
    assert not uses or path.name == "flow.py" or path.parent == ROOT / "engine"


def test_steps_do_not_import_each_other(path, tree) -> None:
    steps = {"fit", "extract", "cluster", "annotate", "refine", "evaluate"}
    own = path.relative_to(ROOT).parts[0]
    if own in steps:
        others = {name.split(".")[1] for name in imports(tree) if name.startswith("raypipe.")}
        assert not others & (steps - {own})


def test_nothing_heavy_is_imported_at_the_top_of_the_command_line(path, tree) -> None:
    """`raypipe --help` pays for nothing that it does not use."""
    first = path.relative_to(ROOT).parts[0]
    if first not in {"cli", "__init__.py", "__main__.py", "pipeline.py", "engine", "config.py"}:
        return
    top = ast.Module(
        [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], []
    )
    heavy = {"ray", "torch", "torchvision", "sklearn", "scipy", "matplotlib"}
    assert not {name.split(".")[0] for name in imports(top)} & heavy


def test_only_the_command_line_prints(path, tree) -> None:
    calls = [
        node.lineno for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]  # fmt: skip
    assert not calls or path.relative_to(ROOT).parts[0] == "cli"


def test_no_file_of_odds_and_ends() -> None:
    odd = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert [name for name in names(FILES) if Path(name).name in odd] == []


def test_no_metaclass_and_no_global_statement(tree) -> None:
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Global | ast.Nonlocal)
        if isinstance(node, ast.ClassDef):
            assert "metaclass" not in {keyword.arg for keyword in node.keywords}


def test_no_bag_of_keyword_arguments(tree) -> None:
    bags = [
        node.name for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.args.kwarg is not None
    ]  # fmt: skip
    assert bags == []
