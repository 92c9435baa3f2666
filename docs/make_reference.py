"""Write the reference pages from the code: ``docs/reference/{cli,api,recipe}.md`` and ``tests/house/api.txt``.

The Python names come from the source text (``ast``), so nothing heavy is imported and defaults read as they
were written. Run with ``make docs``; a test says when a page is out of date.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.main import get_command

from senoscope._files import write_text
from senoscope.cli.main import VERBS, help_text, verb_app
from senoscope.imaging import Preprocess
from senoscope.training.recipe import Augment, DataSource, Recipe

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
NOTE = "<!-- Written by docs/make_reference.py (make docs). Change the code, not this page. -->\n"


@dataclass(frozen=True)
class Name:
    """One public name: its declaration as in the source, its docstring's first line, its public members."""

    declaration: str
    summary: str = ""
    members: tuple[Name, ...] = field(default=())


@dataclass(frozen=True)
class Module:
    """A module: its dotted name, its docstring's first line, its public names in the source's order."""

    name: str
    summary: str
    names: tuple[Name, ...]


# --- the Python names -------------------------------------------------------------------------------------


def modules() -> Iterator[Module]:
    """Each public module in alphabetical order, with what it defines and what it hands on."""
    everything = {module.name: module for module in _read_modules()}
    for module in everything.values():
        names = tuple(_followed(name, everything) for name in module.names)
        if names and not any(part.startswith("_") for part in module.name.split(".")):
            yield Module(module.name, module.summary, names)


def _read_modules() -> Iterator[Module]:
    for path in sorted((SOURCE / "senoscope").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        stub = path.with_suffix(".pyi")
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if parts[1:2] == ("cli",):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if stub.is_file():  # the names are imported on first use; the stub says where they come from
            tree.body += ast.parse(stub.read_text(encoding="utf-8")).body
        names = (*_exports(tree), *_names(tree.body))
        yield Module(".".join(parts), _first_line(ast.get_docstring(tree)), names)


def _followed(name: Name, everything: dict[str, Module]) -> Name:
    """A name handed on from another module, with what that module says of it (in full if it is private)."""
    bare, _, origin = name.declaration.partition(" from ")
    for candidate in everything[origin].names if origin in everything else ():
        if _bare(candidate.declaration).removesuffix("()") == bare:
            private = origin.rpartition(".")[2].startswith("_")
            return candidate if private else Name(name.declaration, candidate.summary)
    return name


def _exports(tree: ast.Module) -> Iterator[Name]:
    """What a module hands on from others: the imported names in ``__all__``, or ``import a as a``."""
    listed: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=items)):
                listed = {str(item.value) for item in items if isinstance(item, ast.Constant)}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(origin), names=aliases):
                for alias in aliases:
                    if alias.asname == alias.name or (alias.asname or alias.name) in listed:
                        yield Name(f"{alias.name} from {origin}")


def _names(body: list[ast.stmt]) -> Iterator[Name]:
    for index, node in enumerate(body):
        after = body[index + 1] if index + 1 < len(body) else None
        match node:
            case ast.FunctionDef(name=name) if not name.startswith("_"):
                kinds = [ast.unparse(mark) for mark in node.decorator_list]
                yield Name(_function(node, kinds), _first_line(ast.get_docstring(node)))
            case ast.ClassDef(name=name) if not name.startswith("_"):
                bases = ", ".join(ast.unparse(base) for base in [*node.bases, *node.keywords])
                yield Name(
                    f"class {name}({bases})" if bases else f"class {name}",
                    _first_line(ast.get_docstring(node)),
                    tuple(_names(node.body)),
                )
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                yield Name(f"{name}: {ast.unparse(node.annotation)}", _comment(after))
            case ast.Assign(targets=[ast.Name(id=name)]) if not name.startswith("_"):
                yield Name(name, _comment(after))


def _function(node: ast.FunctionDef, kinds: list[str]) -> str:
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    if "property" in kinds or "cached_property" in kinds:
        return node.name + result.replace(" -> ", ": ")
    prefix = next((kind + " " for kind in kinds if kind in ("classmethod", "staticmethod")), "")
    return f"{prefix}{node.name}({ast.unparse(node.args)}){result}"


def _comment(after: ast.stmt | None) -> str:
    """The string that follows an assignment, which documents it."""
    match after:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return _first_line(inspect.cleandoc(text))
    return ""


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0].strip()


def api_snapshot() -> str:
    """Every public name with its signature, one per line: what a change of the interface shows up in."""
    lines = []
    for module in modules():
        lines.append(module.name)
        for name in module.names:
            lines.append(f"  {name.declaration}")
            lines.extend(f"    {member.declaration}" for member in name.members)
    return "\n".join(lines) + "\n"


def api_page() -> str:
    """Every public name with its first line of help, one table per module."""
    parts = [
        NOTE,
        "# Python names\n",
        "Every public name with the first line of its docstring; `help(name)` shows the rest.\n",
    ]
    for module in modules():
        parts.append(f"## {module.name}\n\n{module.summary}\n")
        rows = [f"| `{_bare(name.declaration)}` | {_cell(name.summary)} |" for name in module.names]
        parts.append("\n".join(["| Name | |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _bare(declaration: str) -> str:
    """The name of a declaration, with ``()`` if it is a function."""
    found = re.match(r"(?:class )?(\w+)(\()?", declaration)
    if found is None:
        return declaration
    return found[1] + ("()" if found[2] and not declaration.startswith("class ") else "")


# --- the command line -------------------------------------------------------------------------------------


def cli_page() -> str:
    """Every verb with its arguments and options."""
    parts = [NOTE, "# Command line\n", f"```text\n{help_text()}\n```\n"]
    parts.append(
        "Exit codes: 0 done, 1 failed, 2 called wrongly, 130 interrupted. Errors stand on stderr and say "
        "what was found, what was expected and how to mend it.\n"
    )
    for verb in VERBS:
        parts.extend(_command(get_command(verb_app(verb)), f"senoscope {verb}", depth=2))
    return "\n".join(parts)


def _command(command: Any, path: str, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} {path}\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    children = getattr(command, "commands", None)
    if children:
        for name, child in children.items():
            yield from _command(child, f"{path} {name}", depth + 1)
        return
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option" and item.name != "help"]
    usage = [path, *(_placeholder(item) for item in arguments), *(["[OPTIONS]"] if options else [])]
    yield f"```text\n{' '.join(usage)}\n```\n"
    rows = [f"| `{_placeholder(item)}` | {_cell(item.help)} | |" for item in arguments]
    rows += [
        f"| `{', '.join(_switches(item))}` | {_cell(item.help)} | {_default(item)} |" for item in options
    ]
    if rows:
        yield "\n".join(["| | | Default |", "|---|---|---|", *rows]) + "\n"


def _placeholder(item: Any) -> str:
    name = item.metavar or item.name.upper()
    name += "..." if item.nargs == -1 and not name.endswith("...") else ""
    return name if item.required else f"[{name}]"


def _switches(item: Any) -> list[str]:
    return sorted([*item.opts, *item.secondary_opts], key=lambda word: (word.startswith("--no-"), -len(word)))


def _default(item: Any) -> str:
    if item.required:
        return "required"
    value = item.default
    if value is None or callable(value) or value == () or value is False:
        return ""
    if value is True:
        return "on"
    return f"`{getattr(value, 'value', value)}`"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


# --- the recipe's keys ------------------------------------------------------------------------------------

_RECIPE_PARTS = (
    ("A recipe", Recipe),
    ("data: one entry per dataset", DataSource),
    ("augment", Augment),
    ("preprocess", Preprocess),
)


def recipe_page() -> str:
    """Every key of a recipe with its type, default and bounds."""
    parts = [
        NOTE,
        "# Recipe keys\n",
        "A recipe is a YAML file; a key that is not here is refused, and the nearest right one is named. "
        "[How to train](../how-to/train.md) shows one.\n",
    ]
    for title, model in _RECIPE_PARTS:
        parts.append(f"## {title}\n")
        schema = model.model_json_schema()["properties"]
        rows = [
            f"| `{name}` | {_cell(_words(field.annotation))} | {_key_default(field)} "
            f"| {_cell(_bounds(schema[name]))} | {_cell(field.description)} |"
            for name, field in model.model_fields.items()
        ]
        parts.append(
            "\n".join(["| Key | Type | Default | Bounds | |", "|---|---|---|---|---|", *rows]) + "\n"
        )
    return "\n".join(parts)


def _words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(get_args(annotation))
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)


def _key_default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None or isinstance(default, BaseModel):
        return "" if default is None else "see below"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"  # as YAML writes it


def _bounds(schema: dict[str, Any]) -> str:
    known = schema | next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), {})
    signs = {
        "minimum": "≥",
        "exclusiveMinimum": ">",
        "maximum": "≤",
        "exclusiveMaximum": "<",
        "multipleOf": "multiple of",
        "minItems": "items ≥",
    }
    return ", ".join(f"{sign} {known[key]:g}" for key, sign in signs.items() if key in known)


def pages() -> dict[Path, str]:
    """Every generated page and its text."""
    return {
        ROOT / "docs/reference/cli.md": cli_page(),
        ROOT / "docs/reference/api.md": api_page(),
        ROOT / "docs/reference/recipe.md": recipe_page(),
        ROOT / "tests/house/api.txt": api_snapshot(),
    }


if __name__ == "__main__":
    for page, text in pages().items():
        write_text(page, text)
        print(f"wrote {page.relative_to(ROOT)}")
