"""params.yaml: read, resolved against a profile, checked against `sections`, and written.

A file may hold only what it changes. `profiles:` holds named sets of changes and `profile:` picks one, so that
`profile: full` is the paper's run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from photo2cartoon.errors import UserError
from photo2cartoon.params.sections import Params, Section
from photo2cartoon.progress import note

DEFAULT_FILE = Path("params.yaml")


class _Loader(yaml.SafeLoader):
    """YAML 1.1, as PyYAML reads it, takes 1e-4 for a word; everybody else takes it for a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, section by section; neither argument is touched."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def check(values: dict[str, Any], source: str) -> Params:
    """`values` as `Params`.

    Raises:
        UserError: an unknown key or an impossible value; the message names the key.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{source}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """A pydantic error in one line: every offending key and what is wrong with it."""
    parts = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"]) or "params"
        if item["type"] == "extra_forbidden":
            parts.append(f"unknown key '{key}'")
        else:
            what = item["msg"].removeprefix("Value error, ")
            got = "" if isinstance(item["input"], dict | Section) else f" (got {item['input']!r})"
            parts.append(f"'{key}': {what}{got}")
    return "; ".join(parts)


def load(path: Path | str | None = None, profile: str | None = None) -> Params:
    """Read, resolve and check a params file; without a path, `params.yaml` here or the defaults.

    Args:
        path: a YAML file; it may leave out whatever keeps its default.
        profile: overrides the file's own `profile`.

    Raises:
        UserError: the file is missing, is not YAML, names no such profile, or holds an unknown key or a bad value.
    """
    file = Path(path) if path is not None else DEFAULT_FILE
    if not file.exists():
        if path is not None:
            raise UserError(f"{file}: no such params file")
        return check({} if profile is None else {"profile": profile}, "defaults")
    try:
        values = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{file}: not readable as YAML: {error}") from None
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise UserError(f"{file}: expected sections such as 'train:', found {type(values).__name__}")

    profiles = values.pop("profiles", None) or {}
    if not isinstance(profiles, dict) or not all(isinstance(changes, dict) for changes in profiles.values()):
        raise UserError(f"{file}: 'profiles': expected named sets of sections")
    values, lines = renamed(values)
    for name, changes in profiles.items():
        profiles[name], more = renamed(changes)
        lines += more
    for line in dict.fromkeys(lines):
        note(f"{file}: {line}")
    chosen = profile or values.get("profile", "default")
    if chosen != "default" and profiles and chosen not in profiles:
        raise UserError(f"{file}: 'profile': there is no '{chosen}'; known: {', '.join(['default', *profiles])}")
    # Every profile is checked, not only the chosen one: a typing error must not wait until somebody needs it.
    for name, changes in profiles.items():
        check(merge(values, {**changes, "profile": name}), f"{file}: profiles.{name}")
    return check(merge(values, {**profiles.get(chosen, {}), "profile": chosen}), str(file))


def dump(params: Params, path: Path) -> None:
    """Write the resolved params, every default filled in; the file can be read again by `load`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = params.model_dump(mode="json")
    text = f"# Written by `p2c params` from {DEFAULT_FILE}: edit that file, not this one.\n"
    path.write_text(text + yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


# Names of the previous release, read for one more: the new name of a key, and of a value, of a section.
_RENAMED_KEYS = {("train", "taught"): "paired", ("evaluate", "weights"): "generator"}
_RENAMED_VALUES = {("train", "recipe", "taught"): "paired", ("evaluate", "generator", "average"): "ema"}


def renamed(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Values by the names of this release, and a line for each that had the name of the previous one."""
    values, lines = {**values}, []
    for (section, old), new in _RENAMED_KEYS.items():
        if isinstance(values.get(section), dict) and old in values[section] and new not in values[section]:
            values[section] = {new if key == old else key: value for key, value in values[section].items()}
            lines.append(
                f"'{section}.{old}' is called '{section}.{new}' now; the old name is read for one more release"
            )
    for (section, key, old), new in _RENAMED_VALUES.items():
        if isinstance(values.get(section), dict) and values[section].get(key) == old:
            values[section] = values[section] | {key: new}
            lines.append(f"'{section}.{key}: {old}' is '{new}' now; the old value is read for one more release")
    return values, lines


def commented(params: Params) -> str:
    """The resolved params as YAML, with the description of each key as a comment."""
    return "".join(_lines(params, 0))


def _lines(section: Section, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            what = field.description or " ".join(type(value).__doc__.split())
            yield f"{'' if depth else chr(10)}{indent}{name}:  # {what}\n"
            yield from _lines(value, depth + 1)
        else:
            dumped = section.model_dump(mode="json", include={name})[name]
            flow = None if isinstance(dumped, list) else False
            text = yaml.safe_dump({name: dumped}, default_flow_style=flow, width=1000).strip()
            yield f"{indent + text:<34}  # {field.description}\n"
