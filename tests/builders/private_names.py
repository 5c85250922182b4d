"""A source file in, the private names of others that it uses out: what begins with `_` and is not its own."""

import ast
from pathlib import Path

import gateway

GATEWAY = Path(gateway.__file__).parent


def foreign_names(path: Path) -> set[str]:
    """The private attributes that a file reads, overrides or sets, without those that it defines for itself alone."""
    tree = ast.parse(path.read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in used - own_names(tree) if name.startswith("_") and not name.startswith("__")}


def own_names(tree: ast.AST) -> set[str]:
    """Functions, attributes of `self` that are set somewhere, module constants and slots."""
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            own.add(node.value)
    return own


def files() -> list[Path]:
    """All source files of the gateway."""
    return sorted(GATEWAY.rglob("*.py"))
