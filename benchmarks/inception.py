"""Random weights in the shape of pytorch-fid's Inception, where its own are not at hand: same work, other numbers."""

from __future__ import annotations

from pathlib import Path

import torch

from photo2cartoon.scoring.features import prepare_torchvision

_FIRST = {"Mixed_5b": (192, 32), "Mixed_5c": (256, 64), "Mixed_5d": (288, 64)}
_MIDDLE = {"Mixed_6b": 128, "Mixed_6c": 160, "Mixed_6d": 160, "Mixed_6e": 192}


def write_random_weights(path: Path, seed: int = 0) -> None:
    """Write a state dict that pytorch-fid's network loads."""
    prepare_torchvision()
    from pytorch_fid import inception

    torch.manual_seed(seed)
    net = inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    for name, (channels, pool) in _FIRST.items():
        setattr(net, name, inception.FIDInceptionA(channels, pool_features=pool))
    for name, size in _MIDDLE.items():
        setattr(net, name, inception.FIDInceptionC(768, channels_7x7=size))
    net.Mixed_7b, net.Mixed_7c = inception.FIDInceptionE_1(1280), inception.FIDInceptionE_2(2048)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):  # keeps the size of features through all layers
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    torch.save(net.state_dict(), path)
