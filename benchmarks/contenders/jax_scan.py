"""Plain JAX: the batches of an epoch in one compiled scan, Adam from optax."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _common import BATCH, LATENT, RATE, SAMPLES, finish
from _jax_net import DECODER, ENCODER, Layers, bits, grey, layers, perceptron, run_epochs, weights
from jax import Array

Parameters = dict[str, Layers]


def loss(parameters: Parameters, x: Array, key: Array) -> Array:
    """Minus the ELBO, mean over the batch."""
    mu, log_variance = jnp.split(perceptron(parameters["encoder"], x), 2, -1)
    z = mu + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mu.shape)
    error = optax.sigmoid_binary_cross_entropy(perceptron(parameters["decoder"], z), x).sum()
    kl = 0.5 * (jnp.exp(log_variance) + mu**2 - 1 - log_variance).sum()
    return (error + kl) / len(x)


optimizer = optax.adam(RATE)


def step(state: tuple[Parameters, Any], x: Array, key: Array) -> tuple[Any, Array]:
    """Of the optimiser."""
    parameters, moments = state
    value, gradient = jax.value_and_grad(loss)(parameters, x, key)
    updates, moments = optimizer.update(gradient, moments)
    return (optax.apply_updates(parameters, updates), moments), value


@partial(jax.jit, donate_argnums=0)
def epoch(state: Any, key: Array, data: Array) -> Any:
    """All steps of one epoch."""
    steps = len(data) // BATCH
    one, two, three = jax.random.split(key, 3)
    order = jax.random.permutation(one, len(data)).reshape(steps, BATCH)
    visits = (order, jax.random.split(two, steps), jax.random.split(three, steps))
    return jax.lax.scan(lambda s, v: step(s, bits(v[1], data[v[0]]), v[2]), state, visits)


@jax.jit
def log_likelihood(parameters: Parameters, x: Array, key: Array) -> Array:
    """Of one image."""
    mu, log_variance = jnp.split(perceptron(parameters["encoder"], x), 2, -1)

    def log_weight(noise: Array) -> Array:
        z = mu + jnp.exp(0.5 * log_variance) * noise
        error = optax.sigmoid_binary_cross_entropy(perceptron(parameters["decoder"], z), x).sum()
        return 0.5 * (noise**2 + log_variance - z**2).sum() - error

    log_w = jax.vmap(log_weight)(jax.random.normal(key, (SAMPLES, LATENT)))
    return jax.nn.logsumexp(log_w) - math.log(SAMPLES)


def mean_log_likelihood(x: np.ndarray) -> float:
    """One image after the other."""
    keys = jax.random.split(key, len(x))
    each = (log_likelihood(state[0], *pair) for pair in zip(x, keys, strict=True))
    return float(sum(each)) / len(x)


data = grey()
key = jax.random.key(0)
one, two = jax.random.split(jax.random.key(1))
start = {"encoder": layers(one, *ENCODER), "decoder": layers(two, *DECODER)}
state = start, optimizer.init(start)
state, watch = run_epochs(epoch, state, key, data)
finish(watch, weights(**state[0]), mean_log_likelihood, "jax", "optax")
