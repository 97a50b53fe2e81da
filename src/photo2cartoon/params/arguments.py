"""Parameters of a run as the Kubeflow pipeline takes them: a dictionary per section, and eight parameters of their own.

The eight are the ones that people change most. Kubeflow's form shows each with its type; they are not in the
dictionaries, so that a run has one place for each value.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import ValidationError

from photo2cartoon.errors import UserError
from photo2cartoon.params.file import describe
from photo2cartoon.params.section import Section
from photo2cartoon.params.sections import Evaluate, Ingest, Params, Select
from photo2cartoon.params.train import Train

SECTIONS = ("assets", "ingest", "portrait", "preprocess", "train", "evaluate", "select", "export")
KINDS = ("sample", "worldwide")  # sources of pictures that need no place
# Parameters of their own: the section and the key that each one stands for. `revision` is in no section.
OWN = {
    "photos": ("ingest", "photos"),
    "cartoons": ("ingest", "cartoons"),
    "revision": None,
    "steps": ("train", "steps"),
    "batch": ("train", "batch"),
    "lr": ("train", "lr"),
    "score_on": ("evaluate", "photos"),
    "promotion": ("select", "promote"),
}

AnySection = TypeVar("AnySection", bound=Section)


def to_arguments(params: Params, revision: str = "") -> dict[str, Any]:
    """Return resolved parameters as arguments of the pipeline.

    Args:
        params: all sections.
        revision: git revision of the DVC repositories that pictures come from; empty for the one in their URLs.

    Returns:
        A dictionary per section, without keys that are null by default, and the parameters `OWN`.
    """
    values, usual = params.model_dump(mode="json"), Params().model_dump(mode="json")
    arguments: dict[str, Any] = {name: _without_nulls(values[name], usual[name]) for name in SECTIONS}
    for name, place in OWN.items():
        if place:
            section, key = place
            arguments[name] = arguments[section].pop(key)
    for name in ("photos", "cartoons"):
        arguments[name] = arguments["ingest"].pop(f"{name}_at", arguments[name])
    return arguments | {"revision": revision}


def _without_nulls(values: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """Drop keys that are null, unless null is not their default."""
    nested = {key: _without_nulls(each, usual[key]) if isinstance(each, dict) else each for key, each in values.items()}
    return {key: each for key, each in nested.items() if each is not None or usual[key] is not None}


def section_of(kind: type[AnySection], values: dict[str, Any], **own: Any) -> AnySection:
    """Validate a section that came as a dictionary, with the parameters that are not in it.

    Args:
        kind: class of the section.
        values: the dictionary; Kubeflow may have turned its integers into floats.
        own: values by key of the section; one that the dictionary holds too is refused.

    Raises:
        UserError: a key is unknown or given twice, or a value is wrong; the message names the key.
    """
    name = kind.__name__.removesuffix("Params").lower()
    twice = [key for key in own if key in values]
    if twice:
        raise UserError(f"{name}.{twice[0]}: is a parameter of its own; remove it from the dictionary '{name}'")
    try:
        return kind.model_validate_json(json.dumps(whole_numbers({**values, **own})))
    except ValidationError as error:
        raise UserError(f"{name}: {describe(error)}") from None


def ingest_of(values: dict[str, Any], photos: str, cartoons: str) -> Ingest:
    """Return section `ingest`. `photos` and `cartoons` are `sample`, `worldwide` (photographs), or a folder or URL."""
    own = {}
    for domain, place in (("photos", photos), ("cartoons", cartoons)):
        if place in KINDS:
            own[domain] = place
        else:
            own |= {domain: "url" if "://" in place or place.startswith("dvc+") else "folder", f"{domain}_at": place}
    return section_of(Ingest, values, **own)


def train_of(values: dict[str, Any], steps: int, batch: int, lr: float) -> Train:
    """Return section `train`."""
    return section_of(Train, values, steps=steps, batch=batch, lr=lr)


def evaluate_of(values: dict[str, Any], score_on: str) -> Evaluate:
    """Return section `evaluate`.

    Raises:
        UserError: the generators of the last step are to be scored; the pipeline hands on the averaged ones alone.
    """
    section = section_of(Evaluate, values, photos=score_on)
    if section.generator != "ema":
        raise UserError("evaluate.generator: the pipeline scores the averaged generators: 'ema'")
    return section


def select_of(values: dict[str, Any], promotion: str) -> Select:
    """Return section `select`."""
    return section_of(Select, values, promote=promotion)


def whole_numbers(value: Any) -> Any:
    """Turn floats without a fraction into integers, which is what they were before Kubeflow's JSON."""
    if isinstance(value, dict):
        return {key: whole_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [whole_numbers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
