"""Reference implementation of photo2cartoon's networks as functions of the tensors in its state dicts.

Written layer by layer from the published definitions, without our code: only torch's functions and a mapping from the
original's names to tensors. `paddle=True` selects the port's names, for its state dicts after transposing.
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F


def tensors(shapes, seed=0):
    """Return random tensors of the given shapes; mixtures in 0..1 and scales near 1 make every part count."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in shapes.items():
        fan_in = max(1, int(torch.tensor(shape[1:]).prod())) if len(shape) > 1 else 1
        value = torch.randn(shape, generator=generator)
        last = name.rsplit(".", 1)[-1]
        if last in ("rho", "w_gamma", "w_beta"):
            value = torch.rand(shape, generator=generator)
        elif last == "gamma":
            value = 1 + 0.1 * value
        elif last == "running_var":
            value = 1 + 0.1 * value.abs()
        elif last == "num_batches_tracked":
            value = torch.zeros((), dtype=torch.int64)
        else:
            value = value / fan_in**0.5
        made[name] = value
    for name in [name for name in made if name.endswith("weight_orig")]:
        matrix, u = made[name].flatten(1), f"{name.removesuffix('_orig')}_u"
        for _ in range(10):  # near the largest singular vectors, as after training
            v = F.normalize(matrix.T @ made[u], dim=0)
            made[u] = F.normalize(matrix @ v, dim=0)
        made[f"{name.removesuffix('_orig')}_v"] = v
    return made


# The generator ---------------------------------------------------------------------------------------------------


def generator_shapes(ngf, size=256, light=True, paddle=False):
    """Shapes of all tensors in a generator's state dict, in the original's order."""
    wide = ngf * 4
    bias = not paddle
    shapes = {}

    def weight(name, *shape, with_bias=False):
        shapes[f"{name}.weight"] = shape
        if with_bias:
            shapes[f"{name}.bias"] = shape[:1]

    def conv_block(name):
        for part, inputs, outputs in ((1, ngf, ngf // 2), (2, ngf // 2, ngf // 4), (3, ngf // 4, ngf // 4)):
            weight(f"{name}.{'conv_block' if paddle else 'ConvBlock'}{part}.3", outputs, inputs, 3, 3)
        if not paddle:
            weight(f"{name}.ConvBlock4.2", ngf, ngf, 1, 1)

    def hourglass(name, use_res):
        for part in hourglass_parts(paddle):
            conv_block(f"{name}.HG.0.{part}")
        conv_block(f"{name}.HG.1")
        weight(f"{name}.HG.2", ngf, ngf, 1, 1)
        weight(f"{name}.Conv1", 3, ngf, 1, 1, with_bias=True)
        if use_res:
            weight(f"{name}.Conv2", ngf, ngf, 1, 1, with_bias=True)
            weight(f"{name}.Conv3", ngf, 3, 1, 1, with_bias=True)

    names = PADDLE if paddle else TORCH
    weight(names["stem"], ngf, 3, 7, 7)
    hourglass(names["hourglass1"], True)
    hourglass(names["hourglass2"], True)
    weight(names["down1"], ngf * 2, ngf, 3, 3)
    weight(names["down2"], wide, ngf * 2, 3, 3)
    for block in range(1, 5):
        for conv in (1, 5):
            weight(f"EncodeBlock{block}.conv_block.{conv}", wide, wide, 3, 3)
    weight("gap_fc", 1, wide, with_bias=bias)
    weight("gmp_fc", 1, wide, with_bias=bias)
    weight("conv1x1", wide, wide * 2, 1, 1, with_bias=True)
    weight("FC.0", wide, wide * (1 if light else (size // 4) ** 2), with_bias=bias)
    weight("FC.2", wide, wide, with_bias=bias)
    for block in range(1, 5):
        for conv in (1, 2):
            weight(f"DecodeBlock{block}.conv{conv}", wide, wide, 3, 3)
            norm = f"DecodeBlock{block}.norm{conv}"
            shapes[f"{norm}.w_gamma"] = shapes[f"{norm}.w_beta"] = (1, wide)
            shapes[f"{norm}.norm.rho"] = (1, wide, 1, 1)
            for part in ("c_gamma.0", "c_gamma.2", "c_beta.0", "c_beta.2", "s_gamma", "s_beta"):
                weight(f"{norm}.{part}", wide, wide, with_bias=bias)
    for step, outputs in ((1, ngf * 2), (2, ngf)):
        weight(names[f"up{step}"], outputs, outputs * 2, 3, 3)
        for part in ("rho", "gamma", "beta"):
            shapes[f"{names[f'lin{step}']}.{part}"] = (1, outputs, 1, 1)
    hourglass(names["hourglass3"], True)
    hourglass(names["hourglass4"], False)
    weight(names["head"], 3, 3, 7, 7)
    return shapes


TORCH = {
    "stem": "ConvBlock1.1",
    "down1": "DownBlock1.1",
    "down2": "DownBlock2.1",
    "up1": "UpBlock1.2",
    "lin1": "UpBlock1.3",
    "up2": "UpBlock2.2",
    "lin2": "UpBlock2.3",
    "head": "ConvBlock2.1",
    **{f"hourglass{index}": f"HourGlass{index}" for index in range(1, 5)},
}
PADDLE = {
    "stem": "DownBlock.1",
    "hourglass1": "DownBlock.4",
    "hourglass2": "DownBlock.5",
    "down1": "DownBlock.7",
    "down2": "DownBlock.11",
    "up1": "UpBlock.2",
    "lin1": "UpBlock.3",
    "up2": "UpBlock.7",
    "lin2": "UpBlock.8",
    "hourglass3": "UpBlock.10",
    "hourglass4": "UpBlock.11",
    "head": "UpBlock.13",
}


def hourglass_parts(paddle=False):
    """Names of an hourglass's 13 blocks: a skip and a down block for each scale, the middle block and the up blocks."""
    if paddle:
        return [*(f"ConvBlockskip{i}" for i in range(1, 5)), *(f"ConvBlock{i}" for i in range(1, 10))]
    return [*(f"ConvBlock{i}_{j}" for i in range(1, 5) for j in (1, 2)), *(f"ConvBlock{i}" for i in range(5, 10))]


def instance_norm(x):
    """Instance normalisation without learnt scales; torch's old exporter requires the ones and zeros."""
    channels = int(x.shape[1])
    return F.instance_norm(x, weight=x.new_ones(channels), bias=x.new_zeros(channels))


def generator(state, x, paddle=False):
    """Return picture, cam_logit and heatmap for images `[N, 3, S, S]`."""
    names = PADDLE if paddle else TORCH

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        if weight.shape[-1] > 1:
            x = F.pad(x, [weight.shape[-1] // 2] * 4, mode="reflect")
        return F.conv2d(x, weight, state.get(f"{name}.bias"), stride=stride)

    def linear(x, name):
        return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def conv_block(x, name):
        parts, y = [], x
        for part in (1, 2, 3):
            y = conv(F.relu(instance_norm(y)), f"{name}.{'conv_block' if paddle else 'ConvBlock'}{part}.3")
            parts.append(y)
        return x + torch.cat(parts, 1)

    def hourglass(x, name):
        def block(y, scale, way):
            part = (
                (f"ConvBlockskip{scale}", f"ConvBlock{scale}")
                if paddle
                else (f"ConvBlock{scale}_1", f"ConvBlock{scale}_2")
            )
            return conv_block(y, f"{name}.HG.0.{part[way]}")

        skips, y = [], x
        for scale in (1, 2, 3, 4):
            skips.append(block(y, scale, 0))
            y = block(F.avg_pool2d(y, 2), scale, 1)
        y = conv_block(y, f"{name}.HG.0.ConvBlock5")
        for scale in (4, 3, 2, 1):
            y = F.interpolate(conv_block(y, f"{name}.HG.0.ConvBlock{10 - scale}"), scale_factor=2)
            y = skips[scale - 1] + y
        y = conv_block(y, f"{name}.HG.1")
        y = F.relu(instance_norm(conv(y, f"{name}.HG.2")))
        picture = conv(y, f"{name}.Conv1")
        if f"{name}.Conv2.weight" not in state:
            return picture
        return x + conv(y, f"{name}.Conv2") + conv(picture, f"{name}.Conv3")

    def blend(x, rho):
        by_channel = (x - x.mean((2, 3), keepdim=True)) / torch.sqrt(x.var((2, 3), keepdim=True) + 1e-5)
        by_layer = (x - x.mean((1, 2, 3), keepdim=True)) / torch.sqrt(x.var((1, 2, 3), keepdim=True) + 1e-5)
        return rho * by_channel + (1 - rho) * by_layer

    def soft_adalin(x, content, style, name):
        linears = [
            *(
                linear(F.relu(linear(content, f"{name}.c_{kind}.0")), f"{name}.c_{kind}.2")
                for kind in ("gamma", "beta")
            ),
            *(linear(style, f"{name}.s_{kind}") for kind in ("gamma", "beta")),
        ]
        w_gamma, w_beta = state[f"{name}.w_gamma"], state[f"{name}.w_beta"]
        gamma = (1 - w_gamma) * linears[2] + w_gamma * linears[0]
        beta = (1 - w_beta) * linears[3] + w_beta * linears[1]
        gamma, beta = (value[:, :, None, None] for value in (gamma, beta))
        return blend(x, state[f"{name}.norm.rho"]) * gamma + beta

    x = F.relu(instance_norm(conv(x, names["stem"])))
    x = hourglass(hourglass(x, names["hourglass1"]), names["hourglass2"])
    for step in ("down1", "down2"):
        x = F.relu(instance_norm(conv(x, names[step], 2)))
    contents = []
    for block in range(1, 5):
        name = f"EncodeBlock{block}.conv_block"
        x = x + instance_norm(conv(F.relu(instance_norm(conv(x, f"{name}.1"))), f"{name}.5"))
        contents.append(x.mean((2, 3)))
    x, cam_logit, heatmap = attention(state, x, F.relu)
    pixels = state["FC.0.weight"].shape[1] > state["FC.2.weight"].shape[1]
    style = F.relu(linear(F.relu(linear(x.flatten(1) if pixels else x.mean((2, 3)), "FC.0")), "FC.2"))
    for block in range(1, 5):
        content, name = contents[4 - block], f"DecodeBlock{block}"
        y = F.relu(soft_adalin(conv(x, f"{name}.conv1"), content, style, f"{name}.norm1"))
        x = x + soft_adalin(conv(y, f"{name}.conv2"), content, style, f"{name}.norm2")
    for step in (1, 2):
        lin = names[f"lin{step}"]
        x = blend(conv(F.interpolate(x, scale_factor=2), names[f"up{step}"]), state[f"{lin}.rho"])
        x = F.relu(x * state[f"{lin}.gamma"] + state[f"{lin}.beta"])
    x = hourglass(hourglass(x, names["hourglass3"]), names["hourglass4"])
    return torch.tanh(conv(x, names["head"])), cam_logit, heatmap


def attention(state, x, activation, normed=None):
    """Class activation maps; `normed` holds the spectrally normalised classifier weights, used only for the logits."""
    logits, weighed = [], []
    for name, pooled in (("gap_fc", x.mean((2, 3))), ("gmp_fc", x.amax((2, 3)))):
        own = state.get(f"{name}.weight", state.get(f"{name}.weight_orig"))
        logits.append(F.linear(pooled, normed[name] if normed else own, state.get(f"{name}.bias")))
        weighed.append(x * own[:, :, None, None])
    x = activation(F.conv2d(torch.cat(weighed, 1), state["conv1x1.weight"], state["conv1x1.bias"]))
    return x, torch.cat(logits, 1), x.sum(1, keepdim=True)


class Tree(torch.nn.Module):
    """Module with parameters under their dotted names that computes the original's generator."""

    def __init__(self, state):
        super().__init__()
        for name, value in state.items():
            *path, last = name.split(".")
            place = self
            for part in path:
                if part not in place._modules:
                    place.add_module(part, torch.nn.Module())
                place = place._modules[part]
            place.register_parameter(last, torch.nn.Parameter(value))

    def forward(self, x):
        return generator(dict(self.named_parameters()), x)[0]


def write_onnx(path, state, size, **options):
    """Write a generator's ONNX file with float NCHW `input` and `output`, as photo2cartoon publishes it."""
    example = (torch.zeros(1, 3, size, size),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["input"], "output_names": ["output"], "verbose": False}
        torch.onnx.export(Tree(state).eval(), example, path, **names, **options)
    return path


# The discriminators ----------------------------------------------------------------------------------------------


def discriminator_shapes(ndf, layers):
    """Shapes of all tensors in a discriminator's state dict; spectral norm keeps weight_orig, weight_u and weight_v."""
    shapes = {}

    def normed(name, *shape, bias=False):
        if bias:
            shapes[f"{name}.bias"] = shape[:1]
        shapes[f"{name}.weight_orig"] = shape
        shapes[f"{name}.weight_u"] = shape[:1]
        shapes[f"{name}.weight_v"] = (int(torch.tensor(shape[1:]).prod()),)

    widths = [3, *(ndf * 2**power for power in range(layers - 1))]
    for index in range(layers - 1):
        normed(f"model.{3 * index + 1}", widths[index + 1], widths[index], 4, 4, bias=True)
    normed("gap_fc", 1, widths[-1])
    normed("gmp_fc", 1, widths[-1])
    shapes["conv1x1.weight"], shapes["conv1x1.bias"] = (widths[-1], widths[-1] * 2, 1, 1), (widths[-1],)
    normed("conv", 1, widths[-1], 4, 4)
    return shapes


def discriminator(state, x):
    """Return logit, cam_logit and heatmap for images `[N, 3, S, S]` in evaluation mode: u and v are not updated."""

    def normed(name):
        weight = state[f"{name}.weight_orig"]
        return weight / (state[f"{name}.weight_u"] @ weight.flatten(1) @ state[f"{name}.weight_v"])

    layers = sum(name.startswith("model.") and name.endswith("weight_orig") for name in state)
    for index in range(layers):
        name = f"model.{3 * index + 1}"
        x = F.pad(x, [1] * 4, mode="reflect")
        x = F.leaky_relu(F.conv2d(x, normed(name), state[f"{name}.bias"], stride=2 if index < layers - 1 else 1), 0.2)
    classifiers = {name: normed(name) for name in ("gap_fc", "gmp_fc")}
    x, cam_logit, heatmap = attention(state, x, lambda y: F.leaky_relu(y, 0.2), classifiers)
    return F.conv2d(F.pad(x, [1] * 4, mode="reflect"), normed("conv")), cam_logit, heatmap
