"""Variational inference with an amortised q(z|x).

One way through the house:

    x -- data/ -- networks/ --> q(z|x)  posteriors/ --> z --> networks/ --> p(x|z)  likelihoods/
                                 p(z)   priors/ --------+
    inference/    (model, x) -> q(z|x): amortised, exact, refined
    models/       log p(x,z)                                       log-weights   (K, B)
    bounds/       (model, x) -> Estimate(value, surrogate, terms)  nats/datum    (B,)
    schemes/      which parameters step when
    training/     one Lightning module, callbacks, checkpoints --> logs
    evaluation/   log p(x), and how far the bound is from it

Every class that an option names is a name of this module (``vi.VAE``, ``vi.ELBO``), imported when
it is first used, and so are the roles (``vi.Bound``), the errors, ``fit``, ``load``, ``save``,
``log_likelihood``, ``impute`` and ``as_it_is``. Data sets are names of ``vi.data``.
"""

from vi.lazy import lazy_exports as _lazy_exports

__version__ = "0.1.0"

__getattr__, __dir__ = _lazy_exports(__name__)
