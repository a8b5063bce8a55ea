"""The network of the contenders that are written in JAX, and the data as they see them."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _common import BATCH, DEVICE, DIM, EPOCHS, HIDDEN, LATENT, Stopwatch, train_grey
from jax import Array

Layers = list[tuple[Array, Array]]
if DEVICE == "cpu":
    jax.config.update("jax_platforms", "cpu")
elif jax.default_backend() != "gpu":
    raise ModuleNotFoundError("this JAX sees no GPU: pip install 'jax[cuda13]'")
ENCODER, DECODER = (DIM, HIDDEN, HIDDEN, 2 * LATENT), (LATENT, HIDDEN, HIDDEN, DIM)


def layers(key: Array, *widths: int) -> Layers:
    """Weights and biases with the ranges of torch's linear layers."""
    made = []
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        key, one, two = jax.random.split(key, 3)
        uniform = partial(jax.random.uniform, minval=-(n_in**-0.5), maxval=n_in**-0.5)
        made.append((uniform(one, (n_in, n_out)), uniform(two, (n_out,))))
    return made


def perceptron(parameters: Layers, x: Array) -> Array:
    """ReLU between affine maps."""
    for weight, bias in parameters[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = parameters[-1]
    return x @ weight + bias


def grey() -> Array:
    """Bytes (N, 784), resident on the device."""
    return jnp.asarray(train_grey())


def bits(key: Array, x: Array) -> Array:
    """Drawn anew at every visit: a byte is 1 with probability x / 255."""
    return (jax.random.uniform(key, x.shape) < x / 255).astype(jnp.float32)


def run_epochs(epoch: Any, state: Any, key: Array, data: Array) -> tuple[Any, Stopwatch]:
    """Compile a scan over the batches of an epoch, and run it; the last state and the times."""
    watch = Stopwatch(len(data) // BATCH)
    compiled = epoch.lower(state, key, data).compile()
    watch.epoch()
    for number in range(EPOCHS):
        state, losses = compiled(state, jax.random.fold_in(key, number), data)
        losses.block_until_ready()
        watch.epoch()
    return state, watch


def weights(encoder: Layers, decoder: Layers) -> list[tuple[np.ndarray, np.ndarray]]:
    """What the neutral ELBO asks for."""
    one, two, (weight, bias), *others = (
        (np.asarray(weight).T, np.asarray(bias)) for weight, bias in [*encoder, *decoder]
    )
    heads = [(weight[:LATENT], bias[:LATENT]), (weight[LATENT:], bias[LATENT:])]
    return [one, two, *heads, *others]
