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

Every class of these folders is a name of this module (``vi.VAE``, ``vi.ELBO``), imported when it
is first used, and so are ``fit``, ``load``, ``save``, ``log_likelihood``, ``impute`` and
``as_it_is``.
"""

from vi.lazy import lazy_exports

__version__ = "0.1.0"

__getattr__, __dir__ = lazy_exports(
    __name__,
    __path__[0],
    {
        "as_it_is": "vi.inputs",
        "fit": "vi.training.fit",
        "impute": "vi.training.measured",
        "load": "vi.files.model_files",
        "save": "vi.files.model_files",
        "log_likelihood": "vi.training.measured",
    },
)
