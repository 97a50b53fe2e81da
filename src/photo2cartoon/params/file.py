"""params.yaml: read, resolved against a profile, checked against `sections`, and written.

A file may hold only what it changes. `profiles:` holds named sets of changes and `profile:` picks one, so that
`profile: full` is the paper's run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from photo2cartoon.atomic import atomic_write
from photo2cartoon.errors import UserError
from photo2cartoon.params.section import Section
from photo2cartoon.params.sections import Params
from photo2cartoon.progress import note

DEFAULT_FILE = Path("params.yaml")


class _Loader(yaml.SafeLoader):
    """SafeLoader that also reads 1e-4 as a number, and refuses a key that is given twice.

    PyYAML follows YAML 1.1, in which 1e-4 is a string, and takes the last of two values.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key '{key.value}' is given twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge `changes` into a copy of `base`, section by section."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def check(values: dict[str, Any], source: str) -> Params:
    """Validate `values` as `Params`.

    Raises:
        UserError: a key is unknown or a value invalid; the message names the key.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{source}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """Format a pydantic error as one line that names every wrong key and the reason."""
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
    """Read, resolve and check a parameters file; without a path, ./params.yaml or else the defaults.

    Args:
        path: a YAML file; values that it omits keep their defaults.
        profile: overrides the file's own `profile`.

    Raises:
        UserError: the file is missing, is not YAML, names no such profile, or holds an unknown key or a bad value.
    """
    file = Path(path) if path is not None else DEFAULT_FILE
    if not file.exists():
        if path is not None:
            raise UserError(f"{file}: no such params file")
        _must_have_profile(profile, {}, file)
        return check({}, "defaults")
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
    if profile != values.get("profile"):
        _must_have_profile(profile, profiles, file)
    chosen = profile or values.get("profile", "default")
    if chosen != "default" and profiles and chosen not in profiles:
        _must_have_profile(chosen, profiles, file)
    # All profiles are checked, not only the chosen one, so that a typo is found before the profile is needed.
    for name, changes in profiles.items():
        check(merge(values, {**changes, "profile": name}), f"{file}: profiles.{name}")
    return check(merge(values, {**profiles.get(chosen, {}), "profile": chosen}), str(file))


def _must_have_profile(name: str | None, profiles: Mapping[str, Any], file: Path) -> None:
    if name not in (None, "default", *profiles):
        raise UserError(f"{file}: 'profile': there is no '{name}'; known: {', '.join(['default', *profiles])}")


def dump(params: Params, path: Path) -> None:
    """Write the resolved parameters with all defaults that are used, in a form that `load` reads."""
    values = params.model_dump(mode="json", exclude=_unused(params))
    text = f"# Written by `p2c params` from {DEFAULT_FILE}: edit that file, not this one.\n"
    with atomic_write(path) as partial:
        partial.write_text(text + yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _unused(params: Params) -> dict[str, set[str]]:
    """Return parameters that no stage reads with these settings, so that changing them runs nothing again."""
    return {
        "train": params.train.unused,
        "ingest": {"sample_cartoons"} if params.ingest.cartoons != "sample" else set(),
    }


# Keys and values of the previous release, accepted for one more release, and their current names.
_RENAMED_KEYS = {
    ("train", "taught"): "paired",
    ("evaluate", "weights"): "generator",
    ("select", "champion"): "promote",
}
_RENAMED_VALUES = {
    ("train", "recipe", "taught"): "paired",
    ("train", "score", "face_distance"): "identity_dlib",
    ("evaluate", "generator", "average"): "ema",
    ("select", "promote", "never"): "ask",
    ("select", "metric", "face_distance"): "identity_dlib",
}


def renamed(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Rename keys and values of the previous release; return the values and a line per renaming."""
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
    """Format the resolved parameters as YAML, with the description of each key as a comment."""
    return "".join(_lines(params, 0))


def _lines(section: Section, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            what = field.description or " ".join((type(value).__doc__ or "").split())
            yield f"{'' if depth else chr(10)}{indent}{name}:  # {what}\n"
            yield from _lines(value, depth + 1)
        else:
            dumped = section.model_dump(mode="json", include={name})[name]
            flow = None if isinstance(dumped, list) else False
            text = yaml.safe_dump({name: dumped}, default_flow_style=flow, width=1000).strip()
            yield f"{indent + text:<34}  # {field.description}\n"
