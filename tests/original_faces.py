"""Reference implementation of the two MobileFaceNets as functions of their state dicts' tensors; see `original.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def layers_of(state):
    """Return convolution and batch norm by layer name; weights with one input channel mean a depthwise convolution."""

    def conv(x, name, stride=1, padding=0):
        weight = state[f"{name}.weight"]
        groups = weight.shape[0] if weight.shape[1] == 1 else 1
        return F.conv2d(x, weight, state.get(f"{name}.bias"), stride, padding, groups=groups)

    def norm(x, name):
        stored = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *stored, training=False)

    return conv, norm


def insightface_shapes():
    """Shapes of all tensors in InsightFace_Pytorch's MobileFaceNet(512)."""
    shapes = {}

    def layer(name, outputs, inputs, kernel, act=True):
        shapes[f"{name}.conv.weight"] = (outputs, inputs, kernel, kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = (outputs,)
        shapes[f"{name}.bn.num_batches_tracked"] = ()
        if act:
            shapes[f"{name}.prelu.weight"] = (outputs,)

    layer("conv1", 64, 3, 3)
    layer("conv2_dw", 64, 1, 3)
    for name, inputs, inner, outputs in insightface_blocks():
        layer(f"{name}.conv", inner, inputs, 1)
        layer(f"{name}.conv_dw", inner, 1, 3)
        layer(f"{name}.project", outputs, inner, 1, act=False)
    layer("conv_6_sep", 512, 128, 1)
    layer("conv_6_dw", 512, 1, 7, act=False)
    shapes["linear.weight"] = (512, 512)
    for part in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"bn.{part}"] = (512,)
    shapes["bn.num_batches_tracked"] = ()
    return shapes


def insightface_blocks():
    """Yield name, input width, inner width and output width of every bottleneck."""
    yield "conv_23", 64, 128, 64
    yield from ((f"conv_3.model.{i}", 64, 128, 64) for i in range(4))
    yield "conv_34", 64, 256, 128
    yield from ((f"conv_4.model.{i}", 128, 256, 128) for i in range(6))
    yield "conv_45", 128, 512, 128
    yield from ((f"conv_5.model.{i}", 128, 256, 128) for i in range(2))


def insightface(state, pictures):
    """photo2cartoon's features of portraits `[N, 3, S, S]` in -1..1: its crop and resize, then MobileFaceNet(512)."""
    side = pictures.shape[-1]
    top, bottom = int(side / 2.1 * (0.8 - 0.33)), int(side - (side / 2.1 * 0.3))
    left = int(side / 2 - (bottom - top) / 2)
    x = pictures[:, :, top:bottom, left : left + bottom - top]
    x = F.interpolate(x, size=[112, 112], mode="bilinear", align_corners=True)
    conv, norm = layers_of(state)

    def layer(x, name, stride=1, padding=0):
        x = norm(conv(x, f"{name}.conv", stride, padding), f"{name}.bn")
        slope = state.get(f"{name}.prelu.weight")
        return x if slope is None else F.prelu(x, slope)

    x = layer(layer(x, "conv1", 2, 1), "conv2_dw", 1, 1)
    for name, *_ in insightface_blocks():
        strided = name.count(".") == 0
        y = layer(layer(x, f"{name}.conv"), f"{name}.conv_dw", 2 if strided else 1, 1)
        y = layer(y, f"{name}.project")
        x = y if strided else x + y
    x = layer(layer(x, "conv_6_sep"), "conv_6_dw").flatten(1)
    x = norm(F.linear(x, state["linear.weight"]), "bn")
    return x / x.norm(dim=1, keepdim=True)


def foamliu_shapes():
    """Shapes of all tensors in foamliu's MobileFaceNet."""
    shapes = {}

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    def layer(name, outputs, inputs, kernel):
        shapes[f"{name}.0.weight"] = (outputs, inputs, kernel, kernel)
        norm(f"{name}.1", outputs)

    layer("conv1", 64, 3, 3)
    shapes["dw_conv.depthwise.weight"], shapes["dw_conv.pointwise.weight"] = (64, 1, 3, 3), (64, 64, 1, 1)
    norm("dw_conv.bn1", 64)
    norm("dw_conv.bn2", 64)
    for index, (_, inputs, inner, outputs) in enumerate(insightface_blocks()):
        layer(f"features.{index}.conv.0", inner, inputs, 1)
        layer(f"features.{index}.conv.1", inner, 1, 3)
        shapes[f"features.{index}.conv.2.weight"] = (outputs, inner, 1, 1)
        norm(f"features.{index}.conv.3", outputs)
    layer("conv2", 512, 128, 1)
    shapes["gdconv.depthwise.weight"] = (512, 1, 7, 7)
    norm("gdconv.bn", 512)
    shapes["conv3.weight"], shapes["conv3.bias"] = (128, 512, 1, 1), (128,)
    norm("bn", 128)
    return shapes


def foamliu(state, faces):
    """Features of faces `[N, 3, 112, 112]` in 0..1, RGB: ImageNet's normalisation, then the network."""
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    conv, norm = layers_of(state)

    def layer(x, name, stride=1, padding=0):
        return F.relu6(norm(conv(x, f"{name}.0", stride, padding), f"{name}.1"))

    x = layer((faces - mean) / std, "conv1", 2, 1)
    x = F.relu(norm(conv(x, "dw_conv.depthwise", 1, 1), "dw_conv.bn1"))
    x = F.relu(norm(conv(x, "dw_conv.pointwise"), "dw_conv.bn2"))
    for index, (name, inputs, _, outputs) in enumerate(insightface_blocks()):
        strided = "." not in name
        y = layer(x, f"features.{index}.conv.0")
        y = layer(y, f"features.{index}.conv.1", 2 if strided else 1, 1)
        y = norm(conv(y, f"features.{index}.conv.2"), f"features.{index}.conv.3")
        x = x + y if inputs == outputs and not strided else y
    x = norm(conv(layer(x, "conv2"), "gdconv.depthwise"), "gdconv.bn")
    x = norm(conv(x, "conv3"), "bn").flatten(1)
    return x / x.norm(dim=1, keepdim=True)
