"""NumPyro's SVI with the batches of an epoch in one compiled scan."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from _common import BATCH, LATENT, RATE, SAMPLES, finish
from _jax_net import DECODER, ENCODER, bits, grey, layers, perceptron, run_epochs, weights
from jax import Array
from numpyro import distributions as dist
from numpyro.infer import SVI, RenyiELBO, TraceMeanField_ELBO


def model(x: Array) -> None:
    """p(x, z)."""
    decoder = numpyro.param("decoder", layers(jax.random.key(1), *DECODER))
    with numpyro.plate("data", len(x)):
        z = numpyro.sample("z", dist.Normal(jnp.zeros(LATENT), 1.0).to_event(1))
        logits = perceptron(decoder, z)
        numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)


def guide(x: Array) -> None:
    """q(z|x)."""
    encoder = numpyro.param("encoder", layers(jax.random.key(2), *ENCODER))
    with numpyro.plate("data", len(x)):
        mu, log_variance = jnp.split(perceptron(encoder, x), 2, -1)
        numpyro.sample("z", dist.Normal(mu, jnp.exp(0.5 * log_variance)).to_event(1))


svi = SVI(model, guide, numpyro.optim.Adam(RATE), TraceMeanField_ELBO())
importance = RenyiELBO(alpha=0.0, num_particles=SAMPLES)


@partial(jax.jit, donate_argnums=0)
def epoch(state: Any, key: Array, data: Array) -> Any:
    """All steps of one epoch."""
    steps = len(data) // BATCH
    one, two = jax.random.split(key)
    order = jax.random.permutation(one, len(data)).reshape(steps, BATCH)
    visits = (order, jax.random.split(two, steps))
    return jax.lax.scan(lambda s, v: svi.update(s, bits(v[1], data[v[0]])), state, visits)


@jax.jit
def log_likelihood(parameters: Any, x: Array, key: Array) -> Array:
    """Of one image."""
    return -importance.loss(key, parameters, model, guide, x[None])


def mean_log_likelihood(x: np.ndarray) -> float:
    """One image after the other."""
    parameters, keys = svi.get_params(state), jax.random.split(key, len(x))
    return float(
        sum(log_likelihood(parameters, *pair) for pair in zip(x, keys, strict=True))
    ) / len(x)


data = grey()
key = jax.random.key(0)
state = svi.init(key, bits(key, data[:BATCH]))
state, watch = run_epochs(epoch, state, key, data)
trained = svi.get_params(state)
trained_weights = weights(trained["encoder"], trained["decoder"])
finish(watch, trained_weights, mean_log_likelihood, "jax", "numpyro")
