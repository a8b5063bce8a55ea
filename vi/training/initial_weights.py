"""Before the first step: a trial step of the parts, and the initial weights."""

from functools import reduce
from operator import add
from pathlib import Path

import torch
from torch import Tensor

from vi.data.base import Split
from vi.errors import CheckpointError, ConfigurationError, ViError
from vi.files.model_files import load, load_weights
from vi.models.exact import ExactModel
from vi.training.module import TrainingModule
from vi.training.steps import Trial, trial

_BLOCK = 4096  # number of data whose statistics are computed at once
_ENOUGH = 1 << 17  # number of data used by a start, which bounds its memory


def dry_run(module: TrainingModule) -> Trial:
    """Take the first step on copies of the parts, so that its errors appear before the run begins.

    Returns:
        The copies, with the gradients of that step.

    Raises:
        ConfigurationError: The parts do not fit together, or the optimiser refuses its options.
    """
    try:
        with torch.random.fork_rng([]):
            copies = trial(module, rows=2)
            _require_fixed_data(module)
            with module.session.dry_running(copies.model):
                copies.step()
        return copies
    except ViError:
        raise
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise ConfigurationError(
            f"the parts do not fit together: {str(error).splitlines()[0]}",
            hint="HYDRA_FULL_ERROR=1 shows where",
        ) from error


def _require_fixed_data(module: TrainingModule) -> None:
    """Refuse random bits for a scheme that requires the same data in every epoch."""
    train = module.data.train
    if module.scheme.fixed_data and train.frozen(module.seed) is not train:
        raise ConfigurationError(
            f"{type(module.scheme).__name__} needs the same data in every epoch; these "
            "bits are drawn again at every visit",
            hint="data.binarize=static draws them once, data.binarize=none takes the grey levels",
        )


def start(module: TrainingModule, init_from: str | Path | None) -> None:
    """Set the initial weights: those of another run, or weights made from the training data.

    Raises:
        CheckpointError: The file is missing, damaged or belongs to another model.
    """
    model, train = module.model, module.data.train.frozen(module.seed)
    exact = model.exact()
    if init_from is not None and exact is None:
        load_weights(model, init_from)
        return
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(module.seed)
        index = _some(train)
        given = {name: rows[index] for name, rows in train.given.items()}
        module.scheme.initialize(model, _known(train, index), **given)
    if init_from is not None and exact is not None:
        _start_exact(exact, train, init_from)


def _known(train: Split, index: Tensor) -> Tensor:
    """Return the data of a block of indices, with NaN at missing entries."""
    x = train.values(index)
    if train.observed is None:
        return x
    return x.where(train.observed[index], torch.nan)


def _some(train: Split) -> Tensor:
    """Return the indices of all data, or of 131,072 random ones if there are more."""
    n = len(train)
    index = torch.arange(n) if n <= _ENOUGH else torch.randperm(n)[:_ENOUGH]
    return index.to(train.stored.device)


@torch.no_grad()
def _start_exact(model: ExactModel, train: Split, source: str | Path) -> None:
    """Load the weights of the same model, or take an M-step with q of another kind of model."""
    other = load(source)
    ours, theirs = ({k: v.shape for k, v in m.state_dict().items()} for m in (model, other))
    if ours == theirs:
        model.load_state_dict(other.state_dict())
        return
    shapes = tuple(tuple(m.prior().event_shape) for m in (other, model))
    if shapes[0] != shapes[1]:
        raise CheckpointError(
            f"the z of {source} has shape {shapes[0]}, that of the model {shapes[1]}",
            hint="num_components or latent_dim has to be the same",
        )
    index = torch.arange(len(train), device=train.stored.device)
    blocks = (train.values(part) for part in index.split(_BLOCK))
    model.m_step(reduce(add, (model.statistics(x, other.posterior(x)) for x in blocks)))
