"""The project's own source, read and never imported: modules, imports, tests, text files."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Source roots by the prefix their modules have.
ROOTS = {"": ROOT / "functions", "eventing": ROOT, "infra": ROOT, "streamlit_app": ROOT}


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its dotted name, its path from the root, what it imports."""

    name: str
    path: Path
    imports: frozenset[str]

    @property
    def libraries(self) -> frozenset[str]:
        """The top-level packages it imports."""
        return frozenset(name.partition(".")[0] for name in self.imports)


@cache
def tree_of(path):
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _name_of(path, root):
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports_of(path, name):
    """Dotted names a file imports, wherever in the file: both ``a.b`` and ``a.b.c`` of ``from``."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            yield stem
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def modules_under(folder, root):
    """The modules of a folder."""
    for path in sorted(folder.rglob("*.py")):
        name = _name_of(path, root)
        yield Module(name, path.relative_to(ROOT), frozenset(_imports_of(path, name)))


@cache
def modules():
    """Every module that ships, by name."""
    found = [
        module
        for prefix, root in ROOTS.items()
        for module in modules_under(root / prefix, root)
        if "." in module.name or module.path.name == "__init__.py"
    ]
    return {module.name: module for module in found}


def imported(module):
    """The project's modules that one imports; a package stands for its ``__init__``."""
    names = {name for name in module.imports if name in modules()}
    return frozenset(names - {module.name})


@cache
def tests():
    """Every test function: (path from the root, node)."""
    return [
        (path.relative_to(ROOT), node)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


@cache
def text_files():
    """Every file that is committed, or would be, and holds text: path from the root -> text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    found = {}
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        raw = path.read_bytes()
        if b"\0" not in raw:
            found[name] = raw.decode(errors="replace")
    return found
