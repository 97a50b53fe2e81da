"""LIN, AdaLIN and Soft-AdaLIN equal the formulas of their papers, gradients included."""

import pytest
import torch

from photo2cartoon.networks.normalisation import LIN, AdaLIN, SoftAdaLIN, clip_mixtures

EPS = 1e-5


def plain(x, rho, gamma, beta):
    """U-GAT-IT's definition, with instance and layer statistics computed separately."""
    instance = (x - x.mean((2, 3), keepdim=True)) / torch.sqrt(x.var((2, 3), keepdim=True) + EPS)
    layer = (x - x.mean((1, 2, 3), keepdim=True)) / torch.sqrt(x.var((1, 2, 3), keepdim=True) + EPS)
    return (rho * instance + (1 - rho) * layer) * gamma + beta


@pytest.fixture
def x():
    torch.manual_seed(0)
    scale = torch.rand(1, 6, 1, 1, dtype=torch.float64) * 3
    return (torch.randn(3, 6, 9, 7, dtype=torch.float64) * scale + 2 * scale).requires_grad_()


def same(expected, got, x):
    assert torch.allclose(expected, got, atol=1e-10)
    weight = torch.randn_like(expected)
    (a,) = torch.autograd.grad((expected * weight).sum(), x, retain_graph=True)
    (b,) = torch.autograd.grad((got * weight).sum(), x)
    assert torch.allclose(a, b, atol=1e-10)


def test_lin(x):
    norm = LIN(6).double()
    torch.nn.init.uniform_(norm.rho)
    torch.nn.init.normal_(norm.gamma)
    torch.nn.init.normal_(norm.beta)
    same(plain(x, norm.rho, norm.gamma, norm.beta), norm(x), x)


def test_adalin(x):
    norm = AdaLIN(6).double()
    torch.nn.init.uniform_(norm.rho)
    gamma, beta = torch.randn(2, 3, 6, dtype=torch.float64)
    same(plain(x, norm.rho, gamma[:, :, None, None], beta[:, :, None, None]), norm(x, gamma, beta), x)


def test_soft_adalin_mixes_style_and_content(x):
    norm = SoftAdaLIN(6).double()
    content, style = torch.randn(2, 3, 6, dtype=torch.float64)
    torch.nn.init.uniform_(norm.w_gamma)
    torch.nn.init.uniform_(norm.w_beta)
    gamma = (1 - norm.w_gamma) * norm.style_gamma(style) + norm.w_gamma * norm.content_gamma(content)
    beta = (1 - norm.w_beta) * norm.style_beta(style) + norm.w_beta * norm.content_beta(content)
    same(norm.norm(x, gamma, beta), norm(x, content, style), x)


def test_it_begins_as_the_original_does():
    norm = SoftAdaLIN(6)
    assert (norm.norm.rho == 0.9).all() and (norm.w_gamma == 0).all() and (norm.w_beta == 0).all()
    lin = LIN(6)
    assert (lin.rho == 0).all() and (lin.gamma == 1).all() and (lin.beta == 0).all()


def test_clipping_touches_rho_and_w_alone():
    net = torch.nn.Sequential(LIN(4), SoftAdaLIN(4))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.7)
    clip_mixtures(net)
    clipped = {name for name, parameter in net.named_parameters() if (parameter == 1).all()}
    assert clipped == {"0.rho", "1.norm.rho", "1.w_gamma", "1.w_beta"}
    assert all((p == 1.7).all() for name, p in net.named_parameters() if name not in clipped)
    clip_mixtures(net, rho=0.5, w=0.25)
    assert (net[0].rho == 0.5).all() and (net[1].norm.rho == 0.5).all()
    assert (net[1].w_gamma == 0.25).all() and (net[1].w_beta == 0.25).all()
