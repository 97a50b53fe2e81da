"""Every parameter of a run: its type, range, default and description. `file` reads, resolves and checks params.yaml.

Nothing in here is imported by `portrait` or `networks`: they take plain values.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from photo2cartoon.errors import without_credentials
from photo2cartoon.params.section import Metric, NonNegative, Positive, Section, Share
from photo2cartoon.params.train import Train


class Assets(Section):
    """Third-party weights."""

    folder: str | None = Field(None, description="folder that already holds weights files; searched first")


class Ingest(Section):
    """The source of raw pictures: `sample`, `worldwide` (photographs only), `folder`, or `url` (fsspec or DVC)."""

    photos: Literal["sample", "worldwide", "folder", "url"] = Field("sample", description="source of the photographs")
    photos_at: str | None = Field(None, description="folder or URL, for `photos: folder` and `photos: url`")
    cartoons: Literal["sample", "folder", "url"] = Field("sample", description="source of the cartoons")
    cartoons_at: str | None = Field(None, description="folder or URL, for `cartoons: folder` and `cartoons: url`")
    drawings: Literal["none", "folder", "url"] = Field(
        "none", description="drawings of some of the photographs, with the same names, for the paired recipe"
    )
    drawings_at: str | None = Field(None, description="folder or URL, for `drawings: folder` and `drawings: url`")
    sample_cartoons: Annotated[int, Field(ge=2, le=5000)] = Field(
        200, description="number of generated heads in the sample"
    )

    @model_validator(mode="after")
    def _place_is_named(self) -> Ingest:
        for domain in ("photos", "cartoons", "drawings"):
            kind, place = getattr(self, domain), getattr(self, f"{domain}_at")
            if (kind in ("folder", "url")) != (place is not None):
                needs = "needs" if place is None else "takes no"
                raise ValueError(f"{domain}: {kind} {needs} {domain}_at")
            if place and without_credentials(place) != place:
                raise ValueError(
                    f"{domain}_at has a password or token, which git and MLflow would keep: name it in the environment"
                )
        return self


class PortraitParams(Section):
    """A photograph to an aligned, cut-out portrait; preprocessing and serving share it."""

    detector: Literal["mediapipe", "hog", "mmod", "sfd", "blazeface"] = Field("mediapipe", description="face detector")
    landmarks: Literal["mediapipe", "dlib", "face-alignment"] = Field(
        "mediapipe", description="model for the 68 facial landmarks"
    )
    segmentation: Literal["selfie", "sinet", "photo2cartoon"] = Field(
        "selfie", description="model that separates the person from the background"
    )
    min_face: Annotated[int, Field(ge=16)] = Field(64, description="minimum width of the landmarks, pixels")
    max_pixels: Annotated[int, Field(ge=65_536, le=178_956_970)] = Field(
        50_000_000,
        description="maximum width x height of a picture; larger ones are refused before decoding. Pillow's own limit is"
        " 178956970",
    )
    max_bytes: Annotated[int, Field(ge=1024)] = Field(64_000_000, description="maximum size of a file")
    max_seconds: Annotated[float, Field(gt=0)] = Field(
        20.0, description="maximum time to decode a picture of your own; those of strangers get 4 seconds"
    )


class Preprocess(Section):
    """Raw pictures to the dataset."""

    cartoons: Literal["keep", "align"] = Field(
        "keep", description="keep: cartoons are portraits already; align: find, level and crop their faces too"
    )
    size: Literal[256, 512] = Field(256, description="side of the portraits, pixels")
    test_share: Share = Field(0.2, description="share of each domain held out for evaluation")
    test_list: str | None = Field(
        None, description="file that lists the held-out pictures, one stem a line; replaces test_share"
    )
    workers: Annotated[int, Field(ge=0)] = Field(0, description="processes; 0 means one per core")


class Evaluate(Section):
    """Scores of every checkpoint."""

    photos: Literal["test", "all"] = Field(
        "test", description="test: the held-out photographs; all: every photograph, when there are few"
    )
    generator: Literal["ema", "raw"] = Field(
        "ema", description="ema: the averaged generators; raw: those of the last step"
    )
    batch: Positive = Field(8, description="images per forward pass")
    fid: bool = Field(True, description="compute true FID as well if Inception's weights are in the weights folder")


class Select(Section):
    """The choice among the checkpoints, and whether it becomes champion by itself."""

    metric: Metric | Annotated[tuple[Metric, ...], Field(strict=False)] = Field(
        "kernel_efficientnet",
        description="metric to select by, or several: the next one decides among checkpoints that the one before cannot"
        " tell apart; a single one is followed by identity_sface",
    )
    floors: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        {}, description="worst value allowed, by metric, such as {identity_sface: 0.3, worst_identity_sface: 0.2}"
    )
    promote: Literal["better", "always", "ask"] = Field(
        "better",
        description="when the selected checkpoint takes the alias champion: if it is better than the champion on the same"
        " photographs, always, or when a person moves it",
    )
    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] = Field(
        "photo2cartoon", description="name of the registered model in MLflow"
    )
    max_seconds: Annotated[float, Field(gt=0)] | None = Field(
        2.0,
        description="seconds that a portrait of 256 px may take when a version is promoted, on the promoting machine; null: no"
        " limit",
    )

    @property
    def rank(self) -> tuple[str, ...]:
        """The metrics to select by, in order."""
        if not isinstance(self.metric, str):
            return self.metric
        return tuple(dict.fromkeys((self.metric, "identity_sface")))

    @model_validator(mode="after")
    def _something_decides(self) -> Select:
        if not self.rank:
            raise ValueError("metric is empty")
        return self


class Export(Section):
    """The ONNX graph, and how much it may differ from torch on real portraits, in levels of 0..255."""

    opset: Annotated[int, Field(ge=18, le=23)] = Field(18, description="ONNX operator set")
    variant: Literal["fp32", "fp16"] = Field(
        "fp32",
        description="arithmetic of the convolutions (norms stay fp32): fp16: half the size",
    )
    max_mean_difference: NonNegative | None = Field(
        None, description="maximum mean difference over all values; null: the variant's default"
    )
    max_difference: NonNegative | None = Field(
        None, description="maximum difference of any value; null: the variant's default"
    )
    portraits: Positive = Field(8, description="number of portraits on which torch and onnxruntime are compared")


class Rollout(Section):
    """Limits that a canary must keep to get all calls (`p2c promote --kserve NAME --canary 10`)."""

    min_calls: Positive = Field(50, description="calls that the canary has to answer in its window")
    max_failures: Share = Field(0.01, description="share of the calls that may fail")
    max_slowdown: Annotated[float, Field(ge=1, allow_inf_nan=False)] = Field(
        1.5, description="95 percent of the calls may take this many times as long as the stable version's"
    )
    max_refused: Share = Field(
        0.05, description="share of the photographs that may be refused beyond the stable version's share"
    )


class Params(Section):
    """All of params.yaml."""

    profile: str = Field("default", description="named set of changes from `profiles`")
    assets: Assets = Assets()
    ingest: Ingest = Ingest()
    portrait: PortraitParams = PortraitParams()
    preprocess: Preprocess = Preprocess()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    select: Select = Select()
    export: Export = Export()
    rollout: Rollout = Rollout()
