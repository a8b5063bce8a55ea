"""curves.png: what it shows, and that it is there however a run ends."""

import numpy as np
import pytest

import vi
from tests.support.runs import Calls, bits, data, fit
from tests.support.tiny import D, mixture
from vi.data.base import LoadedData, Values
from vi.errors import Interrupted, NumericsError
from vi.figures.curves import curves_figure
from vi.training.callbacks import pictures
from vi.training.callbacks.pictures import Pictures
from vi.training.loggers.csv_curves import CSVCurves

TERMS = ("elbo", "kl", "reconstruction")


def rows(steps, values=None):
    """Training at every step, validation at every second one."""
    values = values or {step: -100.0 / step for step in steps}
    found = [{"step": s, **{f"train/{t}": values[s] for t in TERMS}} for s in steps]
    return found + [{"step": s, **{f"val/{t}": values[s] - 1 for t in TERMS}} for s in steps[::2]]


def lines(axes):
    return {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in axes.get_lines()}


def test_training_and_validation_stand_in_one_panel_each():
    figure = curves_figure(rows([1, 2, 3, 4]))
    assert [axes.get_title() for axes in figure.axes] == ["ELBO", "KL", "reconstruction"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"optimiser step"}
    assert figure.axes[0].get_ylabel() == "nats per datum"
    drawn = lines(figure.axes[0])
    assert drawn["training"] == [[1, -100], [2, -50], [3, -100 / 3], [4, -25]]
    assert drawn["validation"] == [[1, -101], [3, -100 / 3 - 1]]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["training", "validation"]


def test_a_bound_that_is_not_the_elbo_has_a_panel():
    found = [row | {"train/bound": 1.0} for row in rows([1, 2])]
    titles = [axes.get_title() for axes in curves_figure(found, "IWAE-50").axes]
    assert titles == ["IWAE-50", "ELBO", "KL", "reconstruction"]


def test_the_first_steps_do_not_hide_the_others():
    """Caught: a curve from -3000 to -99 in the first epoch, and a flat line behind it."""
    values = {step: -99.0 - (3000 if step < 4 else 5 / step) for step in range(1, 101)}
    low, high = curves_figure(rows(list(values), values)).axes[0].get_ylim()
    assert -103 < low < -99 < high < -98
    even = {step: float(step) for step in range(1, 101)}
    low, high = curves_figure(rows(list(even), even)).axes[0].get_ylim()
    assert low < 1
    assert high > 99


@pytest.mark.parametrize("found", [[], rows([3]), [{"step": 1.0, "train/elbo": float("nan")}]])
def test_a_run_of_no_length_is_drawn(found):
    assert len(curves_figure(found).axes) == 3


@pytest.fixture
def shown(monkeypatch):
    """What is drawn, one figure after the other."""
    figures = []

    def keeping(*args, **options):
        figures.append(curves_figure(*args, **options))
        return figures[-1]

    monkeypatch.setattr(pictures, "curves_figure", keeping)
    return figures


def drawing(folder, **options):
    callbacks = [Pictures(), *options.pop("beside", ())]
    return fit(folder, callbacks=callbacks, loggers=[CSVCurves(folder)], **options)


def steps(figure, name="training"):
    return [point[0] for point in lines(figure.axes[0])[name]]


def test_a_run_leaves_its_curves(tmp_path, shown):
    """Logged every four of eighteen steps and at the end of epochs of six."""
    drawing(tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert steps(shown[-1]) == [4, 6, 8, 12, 16, 18]
    assert steps(shown[-1], "validation") == [6, 12, 18]
    assert shown[-1].axes[0].get_xlabel() == "optimiser step"


def test_a_resumed_run_draws_the_whole_of_them(tmp_path, shown):
    """Caught: only the part that was trained anew."""
    drawing(tmp_path, epochs=1)
    drawing(tmp_path, epochs=3, goes_on=True)
    assert steps(shown[0]) == [4, 6]
    assert steps(shown[-1]) == [4, 6, 8, 12, 16, 18]


def test_another_run_in_the_same_folder_draws_its_own(tmp_path, shown):
    drawing(tmp_path, epochs=2)
    drawing(tmp_path, epochs=1)
    assert steps(shown[-1]) == [4, 6]


def test_curves_of_a_run_that_was_stopped(tmp_path, shown):
    import signal

    stop = Calls("on_train_batch_end", 7, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted):
        drawing(tmp_path, beside=[stop], steps_per_call=1)
    assert (tmp_path / "curves.png").is_file()
    assert steps(shown[-1])[:2] == [4, 6]


def test_curves_of_a_run_that_failed(tmp_path, shown):
    """The error stays what it was."""

    def fail():
        raise NumericsError("the loss became NaN", hint="none")

    with pytest.raises(NumericsError, match="became NaN"):
        drawing(tmp_path, beside=[Calls("on_train_batch_end", 7, fail)], steps_per_call=1)
    assert (tmp_path / "curves.png").is_file()
    assert steps(shown[-1])[:2] == [4, 6]


def test_exact_em_counts_its_iterations(tmp_path, shown):
    scheme = vi.ExactEM(tolerance=0)
    drawing(tmp_path, net=mixture, scheme=scheme, epochs=4, log_every_n_steps=6)
    assert {axes.get_xlabel() for axes in shown[-1].axes} == {"iteration"}
    assert steps(shown[-1]) == [1, 2, 3, 4]
    assert shown[-1].axes[0].get_title() == "objective of EM"
    objective = [point[1] for point in lines(shown[-1].axes[0])["training"]]
    assert objective == sorted(objective)
    assert len(set(objective)) == 4


def test_nothing_is_drawn_where_no_curves_are_kept(tmp_path):
    fit(tmp_path, callbacks=[Pictures()], epochs=1)
    assert not (tmp_path / "curves.png").exists()


def test_a_run_without_validation_has_one_curve(tmp_path, shown):
    split = Values(bits(60, 1))
    drawing(tmp_path, given=LoadedData(split, None, split, (D,), facts=data().facts))
    assert set(lines(shown[-1].axes[0])) == {"training"}
