"""The E/M ledger: the gain of the E-steps and of the M-steps, epoch by epoch."""

import csv
import io
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from vi.errors import require_positive
from vi.figures.ledger import ledger_figure
from vi.figures.save import save_figure
from vi.figures.shown import undisturbed
from vi.files.atomic import write_atomically
from vi.schemes.ledger import Ledger
from vi.training.module import TrainingModule

COLUMNS = ("epoch", "step", "e", "m", "joint")


class EMLedger(pl.Callback):
    """Write ``ledger.csv`` and draw ``ledger.png`` in the run directory.

    Each epoch has one row: the gain of the ELBO in nats per datum by E-steps (e), by M-steps (m)
    and by joint steps that have no split; e + m + joint is the total gain. The gain of gradient
    steps is measured on some training data, each time under the same noise; exact steps compute
    their gain on all training data. The curves are ``ledger/e``, ``ledger/m`` and
    ``ledger/joint``. A scheme that never splits its steps has no ledger.

    Args:
        max_data: Number of training data on which gains are measured.
    """

    forms = (
        {"rows": [dict.fromkeys(COLUMNS, 0.0)], "ledger": None},
        {"rows": [], "ledger": Ledger(lambda: 0.0).state_dict()},
        *(
            {"rows": [], "ledger": {**Ledger(lambda: 0.0).state_dict(), "phase": p, "level": 0.0}}
            for p in ("e", "m", "joint")
        ),
    )
    """Possible forms of the state, against which a checkpoint is checked."""

    def __init__(self, max_data: int = 100) -> None:
        require_positive("max_data", max_data)
        self.max_data = max_data
        self.rows: list[dict[str, float]] = []
        self.ledger: Ledger | None = None
        self.state: dict[str, Any] = {}  # state of the run that this one continues

    def state_dict(self) -> dict[str, Any]:
        """Return all rows, and the state of the ledger of the present epoch."""
        open_ = self.ledger.state_dict() if self.ledger else None
        return {"rows": [dict(row) for row in self.rows], "ledger": open_}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the rows and the ledger of a checkpoint."""
        self.state = state_dict
        self.rows = [dict(row) for row in state_dict["rows"]]

    def on_train_start(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Attach a ledger to the scheme, if it splits its steps."""
        if not pl_module.scheme.has_split:
            self.rows = []
            return
        self.ledger = pl_module.scheme.ledger = Ledger(lambda: self._elbo(pl_module))
        if self.state.get("ledger"):
            self.ledger.load_state_dict(self.state["ledger"])
        path = _folder(trainer) / "ledger.csv"
        if trainer.global_step and not self.state and path.is_file():  # of an older version
            self.rows = _read(path, trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Log the gains of the epoch, and write ledger.csv."""
        ledger = pl_module.scheme.ledger
        if ledger is None:
            return
        won = ledger.close()
        pl_module.book.record({f"ledger/{phase}": nats for phase, nats in won.items() if nats})
        row = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step, **won}
        if self.rows and self.rows[-1]["epoch"] == row["epoch"]:  # max_steps had cut the epoch
            cut = self.rows.pop()
            row |= {phase: nats + cut[phase] for phase, nats in won.items()}
        self.rows.append(row)  # pyright: ignore
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows([row[name] for name in COLUMNS] for row in self.rows)
        write_atomically(_folder(trainer) / "ledger.csv", text.getvalue().encode(), durable=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Draw the gains of all epochs as ledger.png."""
        pl_module.scheme.ledger = None
        if self.rows:
            save_figure(ledger_figure(self.rows), _folder(trainer) / "ledger.png")

    @torch.no_grad()
    def _elbo(self, module: TrainingModule) -> float:
        """Return the ELBO on some training data under fixed noise, in nats per datum."""
        split = module.data.train.frozen(module.seed)
        index = split.spread(min(self.max_data, len(split)))
        batch = split.batch(index)
        with undisturbed(module.model, module.seed):
            model = module.scheme.inference(module.model, module.bound, index)
            return module.bound(model, batch.x, **batch.given).terms["elbo"].mean().item()


def _folder(trainer: pl.Trainer) -> Path:
    return Path(trainer.default_root_dir)


def _read(path: Path, step: int) -> list[dict[str, float]]:
    """Return the rows of ledger.csv up to this step."""
    lines = path.read_text(encoding="utf-8").splitlines()
    kinds = {"epoch": int, "step": int}
    rows = [{k: kinds.get(k, float)(v) for k, v in row.items()} for row in csv.DictReader(lines)]
    return [row for row in rows if row["step"] <= step]
