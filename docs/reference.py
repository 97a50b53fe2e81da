"""Writes docs/reference/params.md and commands.md from the typed parameters and the command line itself.

python docs/reference.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer.main
import yaml
from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic.fields import FieldInfo

from photo2cartoon.cli import app
from photo2cartoon.params import Params, Section

REFERENCE = Path(__file__).parent / "reference"
SIGNS = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt"), MultipleOf: ("multiple of", "multiple_of")}


def params() -> str:
    """Return the page of the parameters."""
    lines = [
        "# Parameters",
        "",
        "Every parameter of `params.yaml`; those that it leaves out have their defaults. Wrong keys and values are refused",
        "before any work starts. `p2c params` prints those of this folder with their values. Written by `docs/reference.py`.",
        "",
    ]
    for name, field in Params.model_fields.items():
        if not isinstance(field.default, Section):
            continue
        lines += [
            f"## {name}",
            "",
            _summary(type(field.default)),
            "",
            "| parameter | type | default | |",
            "|---|---|---|---|",
        ]
        lines += [*_rows(field.default, ""), ""]
    return "\n".join(lines).rstrip() + "\n"


def _rows(section: Section, prefix: str) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield f"| `{prefix}{name}` | | | {_summary(type(value))} |"
            yield from _rows(value, f"{prefix}{name}.")
        else:
            shown = yaml.safe_dump(_plain(value), default_flow_style=True).splitlines()[0]
            yield f"| `{prefix}{name}` | {_type(field.annotation, field)} | `{shown}` | {field.description} |"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _type(kind: Any, field: FieldInfo | None = None) -> str:
    """Return a type as words, with its range."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join("null" if each is type(None) else _type(each) for each in get_args(kind))
    if hasattr(kind, "__metadata__"):
        return _type(kind.__origin__) + _range(list(kind.__metadata__))
    words = {int: "integer", float: "number", bool: "boolean", str: "text"}
    name = words.get(kind) or {tuple: "list", dict: "mapping"}.get(get_origin(kind), "text")
    return name + (_range(field.metadata) if field else "")


def _range(limits: list[Any]) -> str:
    found = [each for limit in limits for each in (limit.metadata if isinstance(limit, FieldInfo) else [limit])]
    said = [f"{SIGNS[type(each)][0]} {getattr(each, SIGNS[type(each)][1]):g}" for each in found if type(each) in SIGNS]
    return f" {', '.join(said)}" if said else ""


def _summary(section: type[Section]) -> str:
    return (section.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def commands() -> str:
    """Return the page of the command line."""
    lines = [
        "# Commands",
        "",
        "`p2c COMMAND --help` prints the same. Errors that a user can cause are one line that starts with `p2c:`, and exit",
        "status 1; 75 means that a training stopped because it was told to, and resumes. Written by `docs/reference.py`.",
        "",
    ]
    lines += [line for name, command in _commands(typer.main.get_command(app), ()) for line in _command(name, command)]
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*names, name))
        elif not command.hidden:
            yield (*names, name), command


def _command(names: tuple[str, ...], command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [
        each for each in command.params if each.param_type_name == "option" and not each.hidden and each.name != "help"
    ]
    yield f"## p2c {' '.join(names)}"
    yield ""
    yield textwrap.fill(" ".join((command.help or "").split("\f")[0].split()), 120, break_on_hyphens=False)
    yield ""
    yield "```"
    yield " ".join(["p2c", *names, *map(_metavar, arguments), *(["[OPTIONS]"] if options else [])])
    yield "```"
    yield ""
    described = [each for each in arguments if getattr(each, "help", None)]
    if described or options:
        yield "| | |"
        yield "|---|---|"
    for each in described:
        yield f"| `{_metavar(each)}` | {_cell(each.help)} |"
    for each in options:
        names_ = ", ".join(f"`{name}`" for name in (*each.opts, *each.secondary_opts))
        default = each.default if not callable(each.default) and each.default not in (None, False, (), []) else None
        words = each.show_default if isinstance(each.show_default, str) else ""
        shown = f" Default: {words}." if words else f" Default: `{default}`." if default is not None else ""
        needed = " Required." if each.required else ""
        variable = f" Environment: `{each.envvar}`." if each.envvar else ""
        yield f"| {names_} | {_cell(each.help)}{shown}{needed}{variable} |"
    yield ""


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return (name if argument.required else f"[{name}]") + (
        "…" if argument.nargs == -1 and not name.endswith("…") else ""
    )


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    (REFERENCE / "params.md").write_text(params())
    (REFERENCE / "commands.md").write_text(commands())
