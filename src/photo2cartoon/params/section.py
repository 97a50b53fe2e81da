"""The base of every section of params.yaml, and the types that several of them use."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Metric = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]  # scoring/metrics.py has the names; commands check them early
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of params.yaml: strict types, unknown keys refused, frozen."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
