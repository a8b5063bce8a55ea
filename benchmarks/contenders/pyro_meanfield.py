"""Pyro's SVI with the KL in closed form, data resident, validation off."""

import math

import numpy as np
import pyro
import torch
from _common import BATCH, EPOCHS, LATENT, RATE, SAMPLES, Stopwatch, finish, train_grey
from _net import Net, weights
from pyro import distributions as dist
from pyro.infer import SVI, TraceMeanField_ELBO
from pyro.infer.importance import vectorized_importance_weights
from torch import Tensor


def model(x: Tensor) -> None:
    """p(x, z)."""
    pyro.module("decoder", net.decoder)
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(x.new_zeros(LATENT), 1.0).to_event(1))
        pyro.sample("x", dist.Bernoulli(logits=net.decoder(z)).to_event(1), obs=x)


def guide(x: Tensor) -> None:
    """q(z|x)."""
    pyro.module("encoder", net.encoder)
    with pyro.plate("data", len(x)):
        mu, log_variance = net.encoder(x).chunk(2, -1)
        pyro.sample("z", dist.Normal(mu, torch.exp(0.5 * log_variance)).to_event(1))


@torch.no_grad()
def log_likelihood(bits: np.ndarray) -> float:
    """One image after the other; the mean."""
    total = 0.0
    for x in torch.from_numpy(bits):
        log_w, _, _ = vectorized_importance_weights(
            model, guide, x[None], num_samples=SAMPLES, max_plate_nesting=1, normalized=False
        )
        total += log_w.logsumexp(0).item() - math.log(SAMPLES)
    return total / len(bits)


pyro.enable_validation(False)
pyro.set_rng_seed(0)
data = torch.from_numpy(train_grey()).float() / 255
net = Net()
svi = SVI(model, guide, pyro.optim.Adam({"lr": RATE}), TraceMeanField_ELBO())
watch = Stopwatch(len(data) // BATCH)
for _ in range(EPOCHS):
    for index in torch.randperm(len(data)).split(BATCH):
        svi.step(torch.bernoulli(data[index]))
        watch.step()
finish(watch, weights(net.encoder, net.decoder), log_likelihood, "torch", "pyro-ppl")
