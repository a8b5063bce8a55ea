"""What TensorBoard shows: charts that splits share, results, and the points of the projector."""

import math
import signal

import pytest
import torch
import yaml
from google.protobuf import text_format
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

import vi
from tests.support.kills import events, events_of_splits
from tests.support.runs import EPOCH, Calls, fit
from vi.data.base import LoadedData, Values
from vi.errors import Interrupted
from vi.figures.projector import save_projector
from vi.training.callbacks.pictures import Pictures
from vi.training.loggers.tensorboard import TensorBoard

FIRST = ["curves/elbo", "curves/kl", "curves/reconstruction"]


def board(folder):
    return TensorBoard(folder, name="", version="", default_hp_metric=False)


def run(folder, *callbacks, **options):
    return fit(folder, loggers=[board(folder)], callbacks=callbacks, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(folder, result) of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder, Pictures())


def scalars(folder, tag):
    read = EventAccumulator(str(folder)).Reload()
    return [(e.step, e.value) for e in read.Scalars(tag)]


def test_splits_share_a_chart(whole):
    """The same points under ``curves/elbo`` in two folders, and where scripts look for them."""
    folder, _ = whole
    for split in ("train", "val"):
        for term in ("elbo", "kl", "reconstruction"):
            points = scalars(folder / split, f"curves/{term}")
            assert len(points) >= 3
            assert points == scalars(folder, f"{split}/{term}")


def test_the_first_charts_are_the_bound_and_its_terms(whole):
    """TensorBoard sorts by tag, and opens two groups. Caught: the ledger; four straight lines."""
    folder, _ = whole
    found = [EventAccumulator(str(f)).Reload() for f in (folder, *map(folder.joinpath, SPLITS))]
    tags = sorted({tag for one in found for tag in one.Tags()["scalars"]})
    assert tags[:3] == FIRST
    groups = list(dict.fromkeys(tag.partition("/")[0] for tag in tags))
    assert groups[:2] == ["curves", "details"]
    assert "spent" in groups[2:]
    assert "ledger" not in groups


SPLITS = ("train", "val", "test")
MOMENTS = {
    "within": ("on_train_batch_end", EPOCH + 2),
    "before_validation": ("on_validation_batch_start", EPOCH),
    "last_validation": ("on_validation_start", 3 * EPOCH),
    "at_the_end": ("on_train_end", 3 * EPOCH),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_resumed_run_has_the_charts_of_one_that_was_not_stopped(tmp_path, whole, moment):
    """In all folders, each of one file. Caught: validation twice; another file for each part."""
    stop = Calls(*MOMENTS[moment], lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted):
        run(tmp_path, stop)
    run(tmp_path, goes_on=True)
    assert events(tmp_path) == events(whole[0])
    assert events_of_splits(tmp_path) == events_of_splits(whole[0])
    for folder in (tmp_path, *(tmp_path / split for split in SPLITS)):
        assert len(list(folder.glob("events.*"))) == 1


def test_a_validation_that_is_yet_to_come_has_no_point(tmp_path):
    """In no folder. Caught: one of two folders cut, which knows the number by another name."""
    logger = board(tmp_path)
    for split, step in (("val", 5), ("train", 6), ("val", 6)):
        logger.log_metrics({f"{split}/elbo": -1.0}, step)
    logger.save()
    board(tmp_path).rewind(6, is_open=True)
    assert events(tmp_path) == [(5, "val/elbo", -1.0), (6, "train/elbo", -1.0)]
    assert events_of_splits(tmp_path) == [
        (6, "train/curves/elbo", -1.0),
        (5, "val/curves/elbo", -1.0),
    ]


@pytest.mark.parametrize("epochs", [2, 3], ids=["longer", "ended"])
def test_results_are_those_of_the_end(tmp_path, whole, epochs):
    """Once, whether a run that had ended is opened again or goes on. Caught: two points."""
    run(tmp_path, epochs=epochs)
    run(tmp_path, goes_on=True)
    assert events(tmp_path) == events(whole[0])
    assert events_of_splits(tmp_path) == events_of_splits(whole[0])


def test_hparams_has_results(whole):
    """Every metric that is announced has a value. Caught: empty columns; NaN at step 0."""
    folder, result = whole
    read = EventAccumulator(str(folder)).Reload()
    content = read.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    announced = [
        info.name.tag for info in metadata.parse_experiment_plugin_data(content).metric_infos
    ]
    assert announced == ["test/elbo", "test/log_likelihood", "val/elbo"]
    for tag in announced:
        assert all(math.isfinite(value) for _, value in scalars(folder, tag))
    for tag in announced[:2]:
        assert scalars(folder, tag) == [(3 * EPOCH, pytest.approx(result.metrics[tag], rel=1e-6))]


def test_hparams_yaml_has_what_was_chosen(whole):
    """Caught: {}, which was written before anything was chosen."""
    chosen = yaml.safe_load((whole[0] / "hparams.yaml").read_text())
    assert chosen["bound.class"] == "ELBO"
    assert chosen["trainer.batch_size"] == 10


def projected(folder):
    """The configuration, the points, and the metadata by column."""
    config = ProjectorConfig()
    text_format.Parse((folder / "projector_config.pbtxt").read_text(), config)
    (one,) = config.embeddings
    rows = [line.split("\t") for line in (folder / one.tensor_path).read_text().splitlines()]
    points = torch.tensor([[float(v) for v in row] for row in rows])
    header, *labels = (
        line.split("\t") for line in (folder / one.metadata_path).read_text().splitlines()
    )
    return one, points, dict(zip(header, map(list, zip(*labels, strict=True)), strict=True))


def test_the_projector_has_the_means_of_q(whole):
    """Of the validation data in order; with what the bound is for each."""
    folder, result = whole
    one, points, columns = projected(folder)
    x = torch.randint(0, 2, (13, 6), generator=torch.Generator().manual_seed(2)).float()
    assert len(points) == 13
    torch.testing.assert_close(points[:, :2], result.model.encode(x), rtol=1e-4, atol=1e-5)
    assert points.shape == (13, 3)  # TensorBoard draws nothing of two
    assert not points[:, 2].any()
    assert columns["index"] == [str(n) for n in range(13)]
    elbo = torch.tensor([float(v) for v in columns["elbo"]])
    terms = [torch.tensor([float(v) for v in columns[k]]) for k in ("reconstruction", "kl")]
    torch.testing.assert_close(elbo, terms[0] - terms[1], rtol=1e-4, atol=1e-4)
    assert not one.HasField("sprite")


def conditional(shape, n, num_classes=3):
    generator = torch.Generator().manual_seed(0)

    def split(n):
        x = torch.randint(0, 2, (n, *shape), generator=generator, dtype=torch.uint8)
        return Values(x, {"context": torch.eye(num_classes)[torch.arange(n) % num_classes]})

    return LoadedData(split(20), split(n), split(9), shape, context_dim=num_classes)


def test_the_projector_has_classes_and_pictures(tmp_path):
    """Of at most a thousand data. Caught: pictures in the places of others."""
    shape = (1, 3, 2)
    data = conditional(shape, 1500)
    network = vi.MLP([4])
    parts = (vi.DiagonalGaussian(2), vi.StandardNormal(2), vi.Bernoulli())
    net = vi.VAE(shape, network, network, *parts, context_dim=3)
    vi.fit(
        net, data, epochs=1, run_dir=tmp_path, callbacks=[Pictures()], loggers=[board(tmp_path)],
        evaluation=vi.ImportanceSampling(2), progress_bar=False, device="cpu", replay=False,
    )  # fmt: skip
    one, points, columns = projected(tmp_path)
    index = torch.tensor([int(v) for v in columns["index"]])
    assert len(points) == len(index) == 1000
    assert columns["context"] == [str(n % 3) for n in index.tolist()]
    assert list(one.sprite.single_image_dim) == [2, 3]  # width and height
    pixels = torch.frombuffer(bytearray(sprite(tmp_path, one).tobytes()), dtype=torch.uint8)
    row = math.ceil(math.sqrt(1000))
    tiles = pixels.view(row, 3, row, 2).transpose(1, 2).reshape(-1, 3, 2)[:1000]
    assert torch.equal(tiles, data.val.stored[index].squeeze(1) * 255)


def sprite(folder, one):
    with Image.open(folder / one.sprite.image_path) as image:
        return image.convert("L")


def test_large_pictures_are_made_small(tmp_path):
    """A square of them has to fit into a graphics card."""
    images = torch.rand(5, 3, 300, 150)
    save_projector(torch.randn(5, 2), {"index": torch.arange(5)}, images, tmp_path)
    one, _, _ = projected(tmp_path)
    assert list(one.sprite.single_image_dim) == [32, 64]
    assert sprite(tmp_path, one).size == (3 * 32, 3 * 64)


def test_no_pictures_no_projector(tmp_path):
    run(tmp_path)
    assert not (tmp_path / "projector_config.pbtxt").exists()
