"""NumPyro's SVI with the batches of an epoch in one compiled scan."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from _common import BATCH, DIM, EPOCHS, HIDDEN, LATENT, RATE, Stopwatch, train_grey
from jax import Array
from numpyro import distributions as dist
from numpyro.infer import SVI, TraceMeanField_ELBO


def layers(key: Array, *widths: int) -> list[tuple[Array, Array]]:
    """Weights and biases with the ranges of torch's linear layers."""
    made = []
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        key, one, two = jax.random.split(key, 3)
        uniform = partial(jax.random.uniform, minval=-(n_in**-0.5), maxval=n_in**-0.5)
        made.append((uniform(one, (n_in, n_out)), uniform(two, (n_out,))))
    return made


def perceptron(parameters: list[tuple[Array, Array]], x: Array) -> Array:
    """ReLU between affine maps."""
    for weight, bias in parameters[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = parameters[-1]
    return x @ weight + bias


def model(x: Array) -> None:
    """p(x, z)."""
    decoder = numpyro.param("decoder", layers(jax.random.key(1), LATENT, HIDDEN, HIDDEN, DIM))
    with numpyro.plate("data", len(x)):
        z = numpyro.sample("z", dist.Normal(jnp.zeros(LATENT), 1.0).to_event(1))
        logits = perceptron(decoder, z)
        numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)


def guide(x: Array) -> None:
    """q(z|x)."""
    encoder = numpyro.param("encoder", layers(jax.random.key(2), DIM, HIDDEN, HIDDEN, 2 * LATENT))
    with numpyro.plate("data", len(x)):
        mu, log_variance = jnp.split(perceptron(encoder, x), 2, -1)
        numpyro.sample("z", dist.Normal(mu, jnp.exp(0.5 * log_variance)).to_event(1))


def bits(key: Array, p: Array) -> Array:
    """Drawn anew at every visit."""
    return (jax.random.uniform(key, p.shape) < p).astype(jnp.float32)


svi = SVI(model, guide, numpyro.optim.Adam(RATE), TraceMeanField_ELBO())


@partial(jax.jit, donate_argnums=0)
def epoch(state: Any, key: Array, data: Array) -> Any:
    """All steps of one epoch."""
    steps = len(data) // BATCH
    one, two = jax.random.split(key)
    order = jax.random.permutation(one, len(data)).reshape(steps, BATCH)
    visits = (order, jax.random.split(two, steps))
    return jax.lax.scan(lambda s, v: svi.update(s, bits(v[1], data[v[0]])), state, visits)


data = jnp.asarray(train_grey().astype(np.float32) / 255)
watch = Stopwatch(len(data) // BATCH)
key = jax.random.key(0)
state = svi.init(key, bits(key, data[:BATCH]))
compiled = epoch.lower(state, key, data).compile()
watch.epoch()
for number in range(EPOCHS):
    state, losses = compiled(state, jax.random.fold_in(key, number), data)
    losses.block_until_ready()
    watch.epoch()
trained = {
    name: [(np.asarray(weight).T, np.asarray(bias)) for weight, bias in value]
    for name, value in svi.get_params(state).items()
}
one, two, (weight, bias) = trained["encoder"]
heads = [(weight[:LATENT], bias[:LATENT]), (weight[LATENT:], bias[LATENT:])]
watch.report([one, two, *heads, *trained["decoder"]])
