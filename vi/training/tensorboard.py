"""Curves for TensorBoard, with all numbers of a step in one record."""

from collections.abc import Mapping

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)


class TensorBoard(TensorBoardLogger):
    """Lightning's logger, at a fraction of its time: one record a step, and not one a number.

    The records are written by a thread in Python, for which training waits.
    """

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the numbers at this step."""
        prefix = f"{self._prefix}{self.LOGGER_JOIN_CHAR}" if self._prefix else ""
        values = [
            Summary.Value(tag=prefix + name, simple_value=float(value))
            for name, value in metrics.items()
        ]
        writer = self.experiment._get_file_writer()  # pyright: ignore[reportPrivateUsage]
        writer.add_summary(Summary(value=values), step)
