"""Measurements for use from Python, with a progress bar if they take long."""

from vi.evaluation import imputation
from vi.evaluation import log_likelihood as importance
from vi.training.progress_bar import with_progress_bar

__all__ = ["impute", "log_likelihood"]

log_likelihood = with_progress_bar("log p(x)", importance.log_likelihood)
impute = with_progress_bar("imputing", imputation.impute)
