"""Maps tensor names of photo2cartoon and its Paddle port to this project's, in the order of the forward pass."""

from __future__ import annotations

import re

NETWORKS = ("genA2B", "genB2A", "disGA", "disGB", "disLA", "disLB")
# Each multi-scale block of the original has a 1x1 convolution for unequal widths, which never occur: it is unused.
UNUSED = re.compile(r"(\.|^)ConvBlock4\.2\.weight$")

_BLOCKS = 4
_SOFT_ADALIN = {
    "c_gamma.0": "content_gamma.0",
    "c_gamma.2": "content_gamma.2",
    "c_beta.0": "content_beta.0",
    "c_beta.2": "content_beta.2",
    "s_gamma": "style_gamma",
    "s_beta": "style_beta",
}
_NORMED = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}


def generator_names(paddle: bool = False) -> dict[str, str]:
    """Map original names to this project's for a generator; light and full differ in shapes, not in names."""
    names: dict[str, str] = {}

    def layer(theirs: str, ours: str, bias: bool = False) -> None:
        names[f"{theirs}.weight"] = f"{ours}.weight"
        if bias:
            names[f"{theirs}.bias"] = f"{ours}.bias"

    def multi_scale(theirs: str, ours: str) -> None:
        part = "conv_block" if paddle else "ConvBlock"
        for index in range(3):
            layer(f"{theirs}.{part}{index + 1}.3", f"{ours}.convs.{index}.3")

    def hourglass(theirs: str, ours: str, last: bool = False) -> None:
        body = f"{theirs}.HG.0.ConvBlock"
        for scale in range(4):
            skip, down = (f"skip{scale + 1}", f"{scale + 1}") if paddle else (f"{scale + 1}_1", f"{scale + 1}_2")
            multi_scale(f"{body}{skip}", f"{ours}.features.0.skips.{scale}")
            multi_scale(f"{body}{down}", f"{ours}.features.0.downs.{scale}")
        multi_scale(f"{body}5", f"{ours}.features.0.middle")
        for scale in range(4):
            multi_scale(f"{body}{6 + scale}", f"{ours}.features.0.ups.{scale}")
        multi_scale(f"{theirs}.HG.1", f"{ours}.features.1")
        layer(f"{theirs}.HG.2", f"{ours}.features.2")
        layer(f"{theirs}.Conv1", f"{ours}.picture", bias=True)
        if not last:
            layer(f"{theirs}.Conv2", f"{ours}.from_features", bias=True)
            layer(f"{theirs}.Conv3", f"{ours}.from_picture", bias=True)

    def lin(theirs: str, ours: str) -> None:
        for part in ("rho", "gamma", "beta"):
            names[f"{theirs}.{part}"] = f"{ours}.{part}"

    layer("DownBlock.1" if paddle else "ConvBlock1.1", "stem.1")
    for index in range(2):
        hourglass(f"DownBlock.{4 + index}" if paddle else f"HourGlass{1 + index}", f"hourglasses_in.{index}")
    layer("DownBlock.7" if paddle else "DownBlock1.1", "down.1")
    layer("DownBlock.11" if paddle else "DownBlock2.1", "down.5")
    for block in range(_BLOCKS):
        for conv in (1, 5):
            layer(f"EncodeBlock{block + 1}.conv_block.{conv}", f"encoder.{block}.body.{conv}")
    layer("gap_fc", "attention.average_fc", bias=True)
    layer("gmp_fc", "attention.maximum_fc", bias=True)
    layer("conv1x1", "attention.merge", bias=True)
    for index in (0, 2):
        layer(f"FC.{index}", f"style.{index}", bias=True)
    for block in range(_BLOCKS):
        for index in (1, 2):
            layer(f"DecodeBlock{block + 1}.conv{index}", f"decoder.{block}.conv{index}.1")
            theirs, ours = f"DecodeBlock{block + 1}.norm{index}", f"decoder.{block}.norm{index}"
            for part, own in _SOFT_ADALIN.items():
                layer(f"{theirs}.{part}", f"{ours}.{own}", bias=True)
            for part in ("w_gamma", "w_beta", "norm.rho"):
                names[f"{theirs}.{part}"] = f"{ours}.{part}"
    layer("UpBlock.2" if paddle else "UpBlock1.2", "up.2")
    lin("UpBlock.3" if paddle else "UpBlock1.3", "up.3")
    layer("UpBlock.7" if paddle else "UpBlock2.2", "up.7")
    lin("UpBlock.8" if paddle else "UpBlock2.3", "up.8")
    for index in range(2):
        theirs = f"UpBlock.{10 + index}" if paddle else f"HourGlass{3 + index}"
        hourglass(theirs, f"hourglasses_out.{index}", last=index == 1)
    layer("UpBlock.13" if paddle else "ConvBlock2.1", "head.1")
    return names


def discriminator_names(layers: int) -> dict[str, str]:
    """Map original names to this project's for a discriminator of 5 or 7 layers; the port has the same names."""
    names: dict[str, str] = {}

    def normed(theirs: str, ours: str, bias: bool = False) -> None:
        if bias:
            names[f"{theirs}.bias"] = f"{ours}.bias"
        names.update({f"{theirs}.{part}": f"{ours}.{own}" for part, own in _NORMED.items()})

    for index in range(layers - 1):
        normed(f"model.{3 * index + 1}", f"body.{3 * index + 1}", bias=True)
    normed("gap_fc", "attention.average_fc")
    normed("gmp_fc", "attention.maximum_fc")
    names |= {f"conv1x1.{part}": f"attention.merge.{part}" for part in ("weight", "bias")}
    normed("conv", "head.1")
    return names
