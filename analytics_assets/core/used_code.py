"""Which code of its domain a function or class uses, and what of it can change a result.

Belongs here: the definitions (functions, classes, assignments) that are reached by name, within one
domain, and a digest of each in which comments, docstrings and layout do not show.
Does not belong here: running code, or what the result is compared with (``meaning.py``).

Read from the source text, not from compiled code, which differs between versions of Python. What
lies outside of the domain is the platform's and has its own releases.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

# What the parser of one version of Python adds and that of another leaves out.
_SILENT = {"ctx", "kind", "type_comment", "type_params", "type_ignores"}
# Names that are bound in these are their own.
_SCOPES = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
_Imported = tuple[str, str]  # module, and a name in it or ""


@dataclass
class _Statement:
    """A top-level statement: its digest, and the names and imports by which it reaches others."""

    digest: str
    names: list[tuple[str, str]]
    imports: dict[str, _Imported]
    first: int
    last: int
    acts: bool  # stands for what it does, as in ``NAMES.update(...)``
    binds: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Module:
    name: str
    file: str
    statements: tuple[_Statement, ...]

    def binding(self, name: str) -> list[_Statement]:
        """The statements that give the name its value, or change it."""
        return [statement for statement in self.statements if name in statement.binds]

    def imported(self, name: str) -> _Imported | None:
        """Where a name of the module comes from, if from elsewhere."""
        for statement in self.statements:
            if name in statement.imports:
                return statement.imports[name]
        return None


def used_code(starts: Sequence[object], domain: str) -> dict[str, str]:
    """``file: definition`` -> digest, of these functions and classes and all that they use.

    The module of the first of them counts as the domain's, wherever it lies.
    """
    found: dict[str, str] = {}
    seen: set[_Imported] = set()
    waiting = [place for start in starts for place in _places(start)]
    own = {getattr(start, "__module__", "") for start in starts[:1]}
    while waiting:
        place = waiting.pop()
        module_name, name = place
        if place in seen or not (module_name in own or domain in module_name.split(".")):
            continue
        seen.add(place)
        module = _parsed(module_name)
        if module is None:
            continue
        # A module that is handed on as a whole may be used as a whole.
        statements = module.binding(name) if name else module.statements
        if not statements and name:
            if imported := module.imported(name):
                waiting.append(imported)
            elif _is_module(f"{module_name}.{name}"):
                waiting.append((f"{module_name}.{name}", ""))
        for number, statement in enumerate(statements):
            label = f"{module.file}: {name or min(statement.binds, default=str(number))}"
            known = found.get(label, "")
            found[label] = _digest([known, statement.digest]) if known else statement.digest
            waiting += _reached(module, statement)
    return found


def _places(start: object) -> Iterator[_Imported]:
    """Module and top-level name of a function or class, however deep in it it was made."""
    module = getattr(start, "__module__", None) or ""
    outermost = str(getattr(start, "__qualname__", "")).split(".")[0]
    parsed = _parsed(module)
    if parsed is None:
        return
    if parsed.binding(outermost):
        yield module, outermost
        return
    code = getattr(start, "__code__", None)
    if isinstance(code, CodeType):  # a lambda has no name of its own
        for statement in parsed.statements:
            if statement.first <= code.co_firstlineno <= statement.last:
                yield from ((module, name) for name in statement.binds)


def _reached(module: _Module, statement: _Statement) -> Iterator[_Imported]:
    for name, attribute in statement.names:
        imported = statement.imports.get(name) or module.imported(name)
        if imported is None:
            yield module.name, name
        elif not imported[1]:
            yield imported[0], attribute
        elif attribute and _is_module(".".join(imported)):
            yield ".".join(imported), attribute
        else:
            yield imported


@cache
def _is_module(name: str) -> bool:
    if name in sys.modules:
        return isinstance(sys.modules[name], ModuleType)
    return _file(name) is not None


def _file(module: str) -> Path | None:
    loaded = sys.modules.get(module)
    origin = getattr(loaded, "__file__", None)
    if loaded is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
        origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


@cache
def _parsed(module: str) -> _Module | None:
    """Read once: what a process runs does not follow the file."""
    path = _file(module) if module else None
    if path is None or not path.is_file():
        return None
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text("utf-8"))
    return _Module(module, path.name, tuple(_statement(node, package) for node in tree.body))


def _statement(node: ast.stmt, package: str) -> _Statement:
    text: list[str] = []
    last = node.end_lineno or node.lineno
    found = _Statement("", [], {}, node.lineno, last, isinstance(node, ast.Expr))
    _walk(node, text, found, package, top=True)
    found.digest = _digest(text)
    return found


def _walk(node: Any, text: list[str], found: _Statement, package: str, top: bool) -> None:
    """Write down all of a statement that runs, and what it names."""
    kind = type(node)
    text.append(kind.__name__)
    if kind is ast.Name:
        _name(node, found, top)
    elif kind is ast.Attribute and isinstance(node.value, ast.Name):
        found.names.append((node.value.id, node.attr))
        text += [node.value.id, node.attr]
        if top and (found.acts or isinstance(node.ctx, ast.Store)):
            found.binds.add(node.value.id)
        return
    elif kind is ast.Import or kind is ast.ImportFrom:
        found.imports |= _imports(node, package)
        if top:
            found.binds -= found.imports.keys()
    if kind in (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef) and top:
        found.binds.add(node.name)
    within = top and kind not in _SCOPES
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == [] or name in _SILENT:
            continue
        text.append(name)
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, ast.AST):
                text.append(repr(item))
            elif not _is_remark(item):
                _walk(item, text, found, package, within)
    text.append(")")


def _name(node: ast.Name, found: _Statement, top: bool) -> None:
    if isinstance(node.ctx, ast.Load):
        found.names.append((node.id, ""))
    elif top:
        found.binds.add(node.id)


def _is_remark(node: ast.AST) -> bool:
    """A docstring, or any other text that stands alone."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _imports(node: ast.Import | ast.ImportFrom, package: str) -> Mapping[str, _Imported]:
    if isinstance(node, ast.Import):
        return {
            alias.asname or alias.name.split(".")[0]: (
                alias.name if alias.asname else alias.name.split(".")[0],
                "",
            )
            for alias in node.names
        }
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, base] if base else above)
    return {alias.asname or alias.name: (base, alias.name) for alias in node.names}


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
