"""Everything a run can be told, with its type, range and default: `params.yaml` read, checked and resolved.

A file may hold only what it changes. `profiles:` holds named sets of changes and `profile:` picks one, so that
`profile: full` is the paper's run. Nothing here is imported by `portrait` or `networks`: they take plain values.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from photo2cartoon.errors import UserError

DEFAULT_FILE = Path("params.yaml")

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Metric = Literal["kernel_face", "kernel_efficientnet", "frechet_face", "frechet_efficientnet", "fid", "face_distance"]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of params.yaml: strict types, unknown keys refused, never changed after it was read."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Assets(Section):
    """Third-party weights."""

    folder: str | None = Field(None, description="a folder that already holds weights files, looked in first")


class Ingest(Section):
    """Where raw pictures come from: `sample`, `worldwide` (photographs only), `folder`, or `url` (fsspec or DVC)."""

    photos: Literal["sample", "worldwide", "folder", "url"] = "sample"
    photos_at: str | None = Field(None, description="the folder or URL that `photos: folder | url` means")
    cartoons: Literal["sample", "folder", "url"] = "sample"
    cartoons_at: str | None = Field(None, description="the folder or URL that `cartoons: folder | url` means")
    drawings: Literal["none", "folder", "url"] = Field(
        "none", description="drawings of some of the photographs, under their names, for the taught recipe"
    )
    drawings_at: str | None = Field(None, description="the folder or URL that `drawings: folder | url` means")
    sample_cartoons: Annotated[int, Field(ge=2, le=5000)] = Field(200, description="generated heads in the sample")

    @model_validator(mode="after")
    def _place_is_named(self) -> Ingest:
        for domain in ("photos", "cartoons", "drawings"):
            kind, place = getattr(self, domain), getattr(self, f"{domain}_at")
            if (kind in ("folder", "url")) != (place is not None):
                needs = "needs" if place is None else "takes no"
                raise ValueError(f"{domain}: {kind} {needs} {domain}_at")
        return self


class Portrait(Section):
    """A photograph to an aligned, cut-out portrait; training and serving share it."""

    detector: Literal["hog", "mmod", "sfd", "blazeface"] = Field("hog", description="who finds the faces")
    landmarks: Literal["dlib", "face-alignment"] = Field("dlib", description="who finds the 68 points of a face")
    segmentation: Literal["selfie", "sinet", "photo2cartoon"] = Field("selfie", description="who cuts the person out")
    min_face: Annotated[int, Field(ge=16)] = Field(64, description="smallest width of the landmarks, pixels")
    max_pixels: Annotated[int, Field(ge=65_536)] = Field(50_000_000, description="largest picture that is decoded")
    max_bytes: Annotated[int, Field(ge=1024)] = Field(64_000_000, description="largest file that is read")


class Preprocess(Section):
    """Raw pictures to the dataset."""

    cartoons: Literal["keep", "align"] = Field("keep", description="keep: cartoons are portraits already")
    test_share: Share = Field(0.2, description="share of each domain held out for evaluation")
    test_list: str | None = Field(
        None, description="a file that names what is held out, a stem a line; instead of a share"
    )
    workers: Annotated[int, Field(ge=0)] = Field(0, description="processes; 0 means every core")


class Weights(Section):
    """What each loss counts; 0 switches it off. Defaults are the original's."""

    adversarial: NonNegative = 1.0
    adversarial_cam: NonNegative = 1.0
    cycle: NonNegative = 50.0
    identity: NonNegative = 10.0
    cam: NonNegative = 1000.0
    face_id: NonNegative = 1.0


class Lesson(Section):
    """What each loss counts in the taught recipe; 0 switches it off."""

    l1: NonNegative = Field(1.0, description="to the drawing, level by level")
    edges: NonNegative = Field(1.0, description="to the drawing's differences between neighbours: lines")
    perceptual: NonNegative = Field(0.5, description="to the drawing's features in EfficientNet-Lite1")
    adversarial: NonNegative = Field(0.0, description="to pass for a cartoon; the photographs without drawing too")
    adversarial_cam: NonNegative = Field(0.0, description="the same by the discriminators' attention")
    face_id: NonNegative = Field(0.0, description="to stay recognisable; the photographs without drawing")
    others: Annotated[int, Field(ge=0)] = Field(
        1, description="photographs without drawing a step, and cartoons, where losses ask for them"
    )
    tones: Share = Field(
        0.5, description="how often a pair is given a darker skin, for people of whom there are no drawings"
    )

    @property
    def judged(self) -> bool:
        """Whether discriminators take part."""
        return bool(self.adversarial or self.adversarial_cam)


class Train(Section):
    """One run of training."""

    recipe: Literal["unpaired", "taught"] = Field(
        "unpaired", description="photo2cartoon's own, or from drawings of the photographs (`preprocess --drawings`)"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    size: Annotated[int, Field(ge=128, le=1024, multiple_of=16)] = Field(
        256, description="side of the picture that is trained on"
    )
    channels: Annotated[int, Field(ge=4, multiple_of=4)] = Field(32, description="width of generator and discriminator")
    light: bool = Field(True, description="pooled style features: any size, far fewer weights")
    norm: Literal["soft_adalin", "adalin"] = Field("soft_adalin", description="decoder: photo2cartoon's or U-GAT-IT's")
    hourglasses: bool = Field(True, description="photo2cartoon's hourglass modules; false: none, as in U-GAT-IT")
    blocks: Annotated[int, Field(ge=1, le=16)] = Field(4, description="residual blocks in encoder and decoder each")
    face_network: Literal["dlib", "mobilefacenet", "mobilefacenet-128"] = Field(
        "dlib", description="who recognises faces in the face_id loss; photo2cartoon's own is mobilefacenet"
    )
    start_from: str | None = Field(None, description="a checkpoint whose networks the run begins with")
    steps: Positive = 200_000
    batch: Positive = Field(1, description="pictures of each domain a step, over all processes")
    accumulate: Positive = Field(
        1, description="parts in which a process takes its pictures, one after another: less memory"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of the networks (norms and losses: always fp32); auto: bf16 on GPUs that have it"
    )
    channels_last: bool = Field(False, description="lay pictures out channels last")
    compile: Literal["none", "default", "reduce-overhead", "max-autotune"] = Field(
        "none", description="torch.compile's mode; reduce-overhead takes CUDA graphs on a GPU"
    )
    recompute: bool = Field(False, description="compute activations twice instead of keeping them: less memory")
    keep_memory: bool = Field(
        True,
        description="on a CPU: memory freed in a step stays with the process for the next one, instead of the system",
    )
    processes: Annotated[int, Field(ge=0)] = Field(1, description="on this machine; 0 means one a GPU")
    lr: Annotated[float, Field(gt=0, le=1)] = 1e-4
    betas: tuple[Share, Share] = Field((0.5, 0.999), strict=False)
    decay: bool = Field(True, description="let the learning rate fall to zero over the second half of the run")
    weight_decay: NonNegative = 1e-4
    clip_rho: Share = Field(1.0, description="instance against layer normalisation: rho stays between 0 and this")
    clip_w: Share = Field(1.0, description="content against style in Soft-AdaLIN: w stays between 0 and this")
    ema_halflife: NonNegative = Field(
        500.0, description="half-life of the averaged generators in pictures; 0: no average"
    )
    checkpoint_every: Positive = Field(5000, description="steps between checkpoints")
    keep: Positive = Field(10, description="how many of the last checkpoints stay on disk")
    score: Metric | None = Field(
        None, description="score each checkpoint on held-out photographs as training goes; lower is better"
    )
    keep_best: Annotated[int, Field(ge=0)] = Field(3, description="how many of the best by the score stay as well")
    patience: Annotated[int, Field(ge=0)] = Field(
        0, description="end the run after this many checkpoints without a better score; 0: never"
    )
    sample_every: Positive = Field(1000, description="steps between grids of sample pictures")
    log_every: Positive = 10
    threads: Annotated[int, Field(ge=0)] = Field(0, description="CPU threads; 0 means every core")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    loss: Weights = Field(Weights(), description="of the unpaired recipe")
    taught: Lesson = Field(Lesson(), description="of the taught recipe")

    @model_validator(mode="after")
    def _patience_has_a_score(self) -> Train:
        if self.patience and not self.score:
            raise ValueError("patience needs a score")
        return self


class Evaluate(Section):
    """Scores of every checkpoint."""

    photos: Literal["test", "all"] = Field("test", description="held-out photographs, or all where those are few")
    weights: Literal["average", "raw"] = Field("average", description="averaged generators, or the last step's")
    batch: Positive = 8
    fid: bool = Field(True, description="true FID as well, when Inception's weights are in the weights folder")


class Select(Section):
    """The choice among checkpoints, and whether it may become champion by itself."""

    metric: Metric = "kernel_efficientnet"
    champion: Literal["better", "always", "never"] = Field(
        "better", description="when the pick takes the alias champion"
    )
    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] = "photo2cartoon"


class Export(Section):
    """The graph, and how far it may be from torch on real portraits, in levels of 255."""

    opset: Annotated[int, Field(ge=18, le=23)] = 18
    variant: Literal["fp32", "fp16", "int8"] = Field(
        "fp32",
        description="arithmetic of the convolutions: fp16 is half the size, int8 faster on CPUs; norms are float",
    )
    max_mean_difference: NonNegative | None = Field(None, description="of all values; by default as the variant allows")
    max_difference: NonNegative | None = Field(None, description="of any value; by default as the variant allows")
    portraits: Positive = Field(8, description="real portraits on which torch and onnxruntime are compared")


class _Loader(yaml.SafeLoader):
    """YAML 1.1, as PyYAML reads it, takes 1e-4 for a word; everybody else takes it for a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


class Params(Section):
    """All of params.yaml."""

    profile: str = "default"
    assets: Assets = Assets()
    ingest: Ingest = Ingest()
    portrait: Portrait = Portrait()
    preprocess: Preprocess = Preprocess()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    select: Select = Select()
    export: Export = Export()


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
