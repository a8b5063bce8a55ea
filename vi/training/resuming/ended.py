"""Reasons why a run ended, and whether they still hold when it is resumed."""

from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import EarlyStopping

from vi.errors import ConfigurationError

if TYPE_CHECKING:
    from vi.training.module import TrainingModule

CONVERGENCE, CALLBACK = "convergence", "early stopping"
REASONS = ("max_epochs", "max_steps", "max_evaluations", CONVERGENCE, CALLBACK)


def reasons(module: "TrainingModule") -> list[str]:
    """Return all reasons that have ended the run, or none if it has steps left."""
    settings, step = module.settings, module.trainer.global_step
    if module.closed != step:
        return []
    found = {
        "max_epochs": step // module.steps_per_epoch() >= settings.max_epochs,
        "max_steps": step == settings.max_steps,
        "max_evaluations": module.book.spent_all(),
        CONVERGENCE: module.scheme.converged,
    }
    ended = [name for name, true in found.items() if true]
    return ended or [CALLBACK] * bool(module.trainer.should_stop)


def limits(module: "TrainingModule") -> dict[str, float | None]:
    """Return the limit of each reason; a run continues if its limit is raised."""
    settings = module.settings
    tolerance = module.scheme.arguments.get("tolerance")
    callbacks: list[Any] = module.trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    patience = [c.patience for c in callbacks if isinstance(c, EarlyStopping)]
    return {
        "max_epochs": settings.max_epochs,
        "max_steps": settings.max_steps,
        "max_evaluations": settings.max_evaluations,
        CONVERGENCE: -tolerance if tolerance else None,
        CALLBACK: min((p for p in patience if p), default=None),
    }


def still(
    ended: list[str], before: dict[str, float | None], now: dict[str, float | None]
) -> list[str]:
    """Return the reasons whose limits have not been raised since.

    A reason without a limit of its own no longer holds once any limit is raised.
    """

    def raised(name: str) -> bool:
        old, new = before.get(name), now[name]
        return old is not None and (new is None or new > old)

    anything = any(map(raised, now))
    return [n for n in ended if not (anything if before.get(n) is None else raised(n))]


def require_not_done(module: "TrainingModule", step: int) -> None:
    """Refuse limits below the epochs or steps that the run has completed.

    Raises:
        ConfigurationError: A limit is below them.
    """
    settings, epochs = module.settings, step / module.steps_per_epoch()
    for name, limit, done in (
        ("max_epochs", settings.max_epochs, epochs),
        ("max_steps", settings.max_steps, step),
    ):
        if limit is not None and done > limit:
            raise ConfigurationError(
                f"trainer.{name}={limit}, but the run has completed {done:g}",
                hint=f"trainer.{name}={-int(-done // 1)} or more",
            )
