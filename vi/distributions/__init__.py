"""Distributions that torch.distributions lacks, and the base classes of priors and heads.

Every class follows torch's interface: ``batch_shape``, ``event_shape``, ``log_prob`` in nats,
``sample`` and, where there is a pathwise gradient, ``rsample``.
"""
