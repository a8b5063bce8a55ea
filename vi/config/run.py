"""The groups and single values of a training run: the only list of them."""

from dataclasses import dataclass, field, fields
from typing import Any

Part = dict[str, Any]
"""A node: ``_target_`` and plain values."""


def _group(
    role: str, *, of_model: bool = False, several: bool = False, finished: str | None = None
) -> Any:
    said = {"role": role, "of_model": of_model, "several": several, "finished": finished}
    return field(metadata=said)


def _suggested() -> Any:
    """Declare a value that data options suggest to all parts that refer to it."""
    return field(metadata={"suggested": True})


@dataclass(frozen=True, kw_only=True)
class Run:
    """A composed configuration: a part of each group, and single values.

    A field with a role is a group: its options are the files of ``configs/<group>``, and each of
    them names a subclass of the role. ``callbacks`` and ``logger`` contain several parts by name.
    The suggested fields have values that suit the data set; parts refer to them as ``${name}``.
    """

    model: Part = _group("vi.models.base.LatentVariableModel")
    encoder: Part = _group("vi.networks.base.Network", of_model=True, finished="torch.nn.Module")
    decoder: Part = _group("vi.networks.base.Network", of_model=True, finished="torch.nn.Module")
    posterior: Part = _group("vi.distributions.conditional.ConditionalDistribution", of_model=True)
    prior: Part = _group("vi.distributions.prior.Prior", of_model=True)
    likelihood: Part = _group(
        "vi.distributions.conditional.ConditionalDistribution", of_model=True
    )
    covariance: Part = _group("vi.covariances.base.Covariance")
    inference: Part = _group("vi.inference.base.Inference", of_model=True)
    initialization: Part = _group("vi.initializations.base.Initialization")
    bound: Part = _group("vi.bounds.base.Bound")
    scheme: Part = _group("vi.schemes.base.Scheme")
    refinement: Part = _group("vi.refinement.base.Refinement")
    optimizer: Part = _group("torch.optim.Optimizer")
    schedule: Part = _group("torch.optim.lr_scheduler.LRScheduler")
    trainer: Part = _group("vi.training.settings.TrainerSettings")
    evaluation: Part = _group("vi.evaluation.base.Evaluation")
    data: Part = _group("vi.data.base.DataSet")
    callbacks: dict[str, Part] | None = _group("lightning.pytorch.Callback", several=True)
    logger: dict[str, Part] | None = _group("lightning.pytorch.loggers.Logger", several=True)

    latent_dim: int = _suggested()
    hidden: list[int] = _suggested()
    decoder_hidden: list[int] = _suggested()
    num_components: int = _suggested()
    standardize: bool = _suggested()
    learning_rate: float = _suggested()
    max_epochs: int = _suggested()
    batch_size: int = _suggested()
    evaluation_samples: int = _suggested()

    seed: int
    ckpt_path: str | None
    init_from: str | None
    plugins: list[str]

    def parts(self) -> dict[str, Part]:
        """Return the part of each group that has one."""
        return {group: vars(self)[group] for group in _GROUPS.keys() - SETS}


_GROUPS = {f.name: f.metadata for f in fields(Run) if "role" in f.metadata}
ROLES: dict[str, str] = {name: group["role"] for name, group in _GROUPS.items()} | {
    # groups of parts inside other parts
    "activation": "torch.nn.Module",
    "flow": "vi.distributions.flow.FlowRecipe",
    "temperatures": "vi.evaluation.annealing.temperatures.Temperatures",
    "normalization": "vi.networks.normalization.Normalization",
    "statistic": "vi.diagnoses.statistics.base.Statistic",
    # of the command diagnose
    "diagnostics": "vi.diagnoses.base.Diagnostic",
}
"""The base class of every option, by group."""
FINISHED = {name: group["finished"] for name, group in _GROUPS.items() if group["finished"]}
"""The class of the finished part that a plugin may give instead of a factory, by group."""
OF_MODELS = frozenset(name for name, group in _GROUPS.items() if group["of_model"])
"""Groups of parts that a model may take, or for which it may have no place."""
SETS = frozenset(name for name, group in _GROUPS.items() if group["several"]) | {"diagnostics"}
"""Groups of which a run or a command may have any number of parts, each with a name."""
SUGGESTED = {f.name for f in fields(Run) if "suggested" in f.metadata}
"""Single values that data options set and other options refer to as ``${name}``."""
