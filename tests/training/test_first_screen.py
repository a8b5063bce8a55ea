"""TensorBoard in Chromium: what a person sees of a run."""

import pytest
import torch

import vi
from tests.support.browser import CHROMIUM, DRIVER, browser, tensorboard
from vi.data.base import LoadedData, Values
from vi.training.loggers.tensorboard import TensorBoard

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is missing"),
]
SHAPE = (1, 3, 2)

CARDS = """
return [...document.querySelectorAll("scalar-card")].map(card => ({
    title: card.querySelector(".tag").title,
    top: card.getBoundingClientRect().top / innerHeight,
    runs: [...card.querySelectorAll("tr, tb-data-table-content-row")].map(
        row => row.innerText.trim().split(/\\s+/)[0]),
}))
"""
IS_DRAWN = "return document.querySelectorAll('scalar-card')[2]?.innerText.includes('val')"


def split(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return Values(torch.randint(0, 2, (n, *SHAPE), generator=generator, dtype=torch.uint8))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of images that alternates, so that it has a ledger."""
    folder = tmp_path_factory.mktemp("run")
    network = vi.MLP([4])
    parts = (vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli())
    return vi.fit(
        vi.VAE(SHAPE, network, network, *parts),
        LoadedData(split(60, 1), split(13, 2), split(9, 3), SHAPE),
        scheme=vi.Alternating(2, 1),
        epochs=3,
        run_dir=folder,
        batch_size=10,
        device="cpu",
        progress_bar=False,
        evaluation=vi.ImportanceSampling(2),
        loggers=[TensorBoard(folder, name="", version="", default_hp_metric=False)],
    )


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    """(browser, address of TensorBoard)."""
    with tensorboard(run.run_dir) as url, browser(tmp_path_factory.mktemp("profile")) as one:
        yield one, url


def test_the_first_screen_has_the_bound_and_its_terms(page):
    """Each in one chart with both series; nothing was clicked. Caught: ledger and costs."""
    one, url = page
    one.open(url)
    one.wait(IS_DRAWN)
    first = one.run(CARDS)[:3]
    assert [card["title"] for card in first] == [
        "curves/elbo",
        "curves/kl",
        "curves/reconstruction",
    ]
    for card in first:
        assert card["top"] < 1
        assert {"train", "val"} <= set(card["runs"])


def test_the_hparams_tab_has_results(run, page):
    """In the row of the run. Caught: columns without a number."""
    one, url = page
    one.open(f"{url}#hparams")
    names = ("test/elbo", "test/log_likelihood")
    for expected in (*names, *(f" {run.metrics[name]:#.5g} " for name in names)):
        one.wait_for_text(expected)


def test_the_projector_has_points(page):
    """Those of the validation data, with what they can be labelled by.

    Caught: points of two dimensions, of which nothing is drawn and NaN % of the variance told.
    """
    one, url = page
    one.open(f"{url}#projector")
    for expected in ("Points: 13", "Dimension: 3", "reconstruction", "described: 100.0%"):
        one.wait_for_text(expected)
