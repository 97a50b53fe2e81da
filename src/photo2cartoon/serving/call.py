"""A call of the served model: its parameters, what it may hold, and the codes of its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

from photo2cartoon.errors import UserError
from photo2cartoon.portrait import PictureError
from photo2cartoon.portrait.background import TRANSPARENT
from photo2cartoon.portrait.options import DrawOptions
from photo2cartoon.provenance.encode import FORMATS, JPEG, PNG, FormatError

MOST_PHOTOS = 8  # of a call
# Pixels of a call's photographs that are drawn into or shown behind the cartoons: they pass through shared memory, of which
# containers have little (6.5 bytes a pixel, as measured with Triton 2.51).
MOST_PIXELS = 50_000_000
WARM_UP = Path(__file__).with_name(
    "warmup.jpg"
)  # Grace Hopper, US Navy, public domain: a server draws her when it starts
MOST_BYTES = 128_000_000  # of a call's encoded photographs, which pass through shared memory, too
OK, TOO_LARGE = "ok", "too_large"


@dataclass(frozen=True)
class Call(DrawOptions):
    """Parameters of a call: the options of a cartoon, and its file format.

    Args:
        format: `png`, `jpeg` or `webp`.

    Raises:
        UserError: a choice is unknown, or two of them contradict each other.
    """

    format: str = PNG

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.format not in FORMATS:
            raise UserError(f"format '{self.format}': expected {', '.join(FORMATS)}")
        if self.format == JPEG and self.background == TRANSPARENT:
            raise FormatError("JPEG has no transparency; choose PNG or WebP")

    @classmethod
    def parse(cls, parameters: Mapping[str, Any]) -> Call:
        """Read the parameters of a request. Any may be text, as not every client can send fractions or booleans.

        Raises:
            UserError: a parameter is unknown, or its value is.
        """
        names = [field.name for field in fields(cls)]
        if unknown := parameters.keys() - names:
            raise UserError(f"{', '.join(sorted(unknown))}: unknown; there are {', '.join(names)}")
        values = dict(parameters)
        for name, read in (("colour", float), ("size", int), ("paste", _boolean)):
            if values.get(name) is not None:
                try:
                    values[name] = read(values[name])
                except (ValueError, TypeError, OverflowError):
                    raise UserError(f"{name} '{values[name]}': is not {_EXPECTED[name]}") from None
        given: dict[str, Any] = {name: value if name in _EXPECTED else str(value) for name, value in values.items()}
        return cls(**given)

    def parameters(self) -> dict[str, Any]:
        """Return the request's parameters: those that are not the default."""
        chosen = {name: value for name, value in asdict(self).items() if value != getattr(Call, name)}
        return chosen | ({"colour": str(self.colour)} if "colour" in chosen else {})


@dataclass(frozen=True)
class Admitted:
    """A call that the server let in, as its steps hand it to each other.

    Args:
        call: what the caller chose.
        request: the caller's name of the request, or one that the server made.
        since: `time.monotonic` when it was let in.
    """

    call: Call
    request: str
    since: float

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps({"call": asdict(self.call), "request": self.request, "since": self.since})

    @classmethod
    def from_json(cls, text: str | bytes) -> Admitted:
        """Read what `to_json` returned."""
        values = json.loads(text)
        return cls(Call(**values["call"]), values["request"], values["since"])


class PhotoPlan(TypedDict):
    """What became of a photograph of a call: the code and the words of its answer, and the shape of its canvas, RGB."""

    code: str
    detail: str
    shape: Sequence[int]


class FacePlan(TypedDict):
    """A portrait of a call: the number of its photograph, its box and its matrix, see `portrait.Portrait`."""

    photo: int
    box: Sequence[int]
    matrix: list[list[float]]


class Plan(TypedDict):
    """What `portrait` hands to `picture` as JSON, beside the portraits: where each cartoon goes, and seconds by step."""

    photos: list[PhotoPlan]
    faces: list[FacePlan]
    seconds: dict[str, float]


def code_of(error: PictureError) -> str:
    """Return the code by which an answer names the reason that a photograph was not drawn, such as `no_face`."""
    return error.reason.replace(" ", "_")


def error_of(code: str, detail: str) -> PictureError:
    """Return the error that a code stands for."""
    return PictureError(code.replace("_", " "), detail)


_EXPECTED = {"colour": "a number", "size": "a whole number", "paste": "true or false"}


def _boolean(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError
    return str(value).lower() == "true"
