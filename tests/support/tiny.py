"""Models of six bits, the same at every call."""

import torch

import vi

D = 6


def vae():
    torch.manual_seed(0)
    network = vi.MLP([4])
    parts = (vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli())
    return vi.VAE((D,), network, network, *parts)


def mixture():
    torch.manual_seed(0)
    return vi.BernoulliMixture((D,), 3, restarts=1)
