"""The published data sets, against the numbers that were computed from their files."""

import gzip
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

import vi.data.omniglot as omniglot
from vi.data.binary import Caltech101Silhouettes, StaticMNIST
from vi.data.frey_faces import FreyFaces
from vi.data.mnist import MNIST, FashionMNIST
from vi.data.omniglot import Omniglot
from vi.errors import ConfigurationError, DataError

MAIN = {
    MNIST: "MNIST/raw/train-images-idx3-ubyte.gz",
    FashionMNIST: "FashionMNIST/raw/train-images-idx3-ubyte.gz",
    StaticMNIST: "MNIST_static/binarized_mnist_packed.npz",
    Caltech101Silhouettes: "Caltech101Silhouettes/caltech101_silhouettes_28_split1.mat",
    Omniglot: "omniglot/omniglot_28x28_derived.npz",
    FreyFaces: "Freyfaces/freyfaces.npz",
}
SIZES = {
    MNIST: (50_000, 10_000, 10_000),
    FashionMNIST: (50_000, 10_000, 10_000),
    StaticMNIST: (50_000, 10_000, 10_000),
    Caltech101Silhouettes: (4100, 2264, 2307),
    Omniglot: (23_000, 1345, 8115),
    FreyFaces: (1565, 200, 200),
}
DOWNLOADED = [MNIST, FashionMNIST, Omniglot]
LABELLED = {MNIST: 10, FashionMNIST: 10, Omniglot: 50, Caltech101Silhouettes: 101}
BITS = (StaticMNIST, Caltech101Silhouettes)
MNIST_FILES = (
    "MNIST/raw/train-images-idx3-ubyte",
    "MNIST/raw/t10k-images-idx3-ubyte",
)


def load(cls, seed=0, **arguments):
    """Once, where it is of the folder that nobody changes."""
    return (load_anew if "dir" in arguments else _kept)(cls, seed, **arguments)


def load_anew(cls, seed=0, **arguments):
    grey = {} if cls in BITS else {"binarize": "none"}
    return cls(**(grey | arguments)).load(seed)


_kept = cache(load_anew)


@pytest.fixture(autouse=True, scope="module")
def _keep_no_longer():
    """Than these tests last."""
    yield
    _kept.cache_clear()


def mean(split):
    return split.stored.double().mean().item()


@pytest.mark.parametrize("cls", MAIN)
def test_sizes_shapes_and_facts(cls, real):
    real(MAIN[cls])
    data = load(cls)
    parts = {"train": data.train, "val": data.val, "test": data.test}
    assert tuple(len(split) for split in parts.values()) == SIZES[cls]
    for name, split in parts.items():
        assert split.stored.dtype == torch.uint8
        assert split.stored.shape[1:] == data.shape
        assert data.facts[f"data/n_{name}"] == len(split)
    assert data.facts["data/binarize"] == ("static" if cls in BITS else "none")
    assert data.facts["data/levels"] == (1 if cls in BITS else 255)
    assert len(data.facts["data/sha256"]) == 64
    assert all(type(value) in (str, int) for value in data.facts.values())


@pytest.mark.parametrize("cls", MAIN)
def test_values_are_in_the_unit_interval_and_reach_its_upper_half(cls, real):
    real(MAIN[cls])
    x = load(cls).test.values(torch.arange(200))
    assert x.is_floating_point()
    assert x.min() >= 0
    assert 0.5 < x.max() <= 1


@pytest.mark.parametrize(
    ("cls", "train", "test"), [(MNIST, 33.318, 33.791), (FashionMNIST, 72.94, 73.15)]
)
def test_means_of_the_bytes(cls, train, test, real):
    real(MAIN[cls])
    data = load(cls, validation_size=0)
    assert data.val is None
    assert mean(data.train) == pytest.approx(train, abs=6e-3)
    assert mean(data.test) == pytest.approx(test, abs=6e-3)


def test_means_of_the_bits(real):
    real(MAIN[StaticMNIST])
    data = load(StaticMNIST)
    means = [mean(split) for split in (data.train, data.val, data.test)]
    assert means == pytest.approx([0.13056, 0.13113, 0.13251], abs=5e-6)


def test_silhouettes_are_the_complement_of_their_file(real):
    real(MAIN[Caltech101Silhouettes])
    data = load(Caltech101Silhouettes)
    means = [1 - mean(split) for split in (data.train, data.val, data.test)]
    assert means == pytest.approx([0.5511, 0.5360, 0.5390], abs=5e-5)


def test_silhouettes_stand_upright(real):
    """Objects rest on the ground and reach both edges evenly: rows are skewed, columns are not.

    Tried without the transposition: the two profiles change places.
    """
    real(MAIN[Caltech101Silhouettes])
    profile = load(Caltech101Silhouettes).train.stored.double().mean((0, 1))
    skew_of_columns = (profile.mean(0) - profile.mean(0).flip(0)).abs().sum()
    skew_of_rows = (profile.mean(1) - profile.mean(1).flip(0)).abs().sum()
    assert skew_of_columns < skew_of_rows


def test_means_of_the_faces_and_drawings(real):
    real(MAIN[FreyFaces])
    real(MAIN[Omniglot])
    faces, drawings = load(FreyFaces), load(Omniglot)
    for data, expected, tolerance in [(faces, 154.46, 5e-3), (drawings, 0.08263 * 255, 2e-3)]:
        whole = torch.cat([data.train.stored, data.val.stored, data.test.stored])
        assert whole.double().mean().item() == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("validation_size", [0, 10, 10_000])
def test_the_last_of_the_training_pictures_validate(validation_size, real):
    real(MAIN[MNIST])
    whole = load(MNIST, validation_size=0).train.stored
    data = load(MNIST, validation_size=validation_size)
    parts = [data.train.stored] + ([] if data.val is None else [data.val.stored])
    assert torch.equal(torch.cat(parts), whole)
    assert len(data.train) == 60_000 - validation_size


@pytest.mark.parametrize("cls", [MNIST, FashionMNIST, Omniglot])
@pytest.mark.parametrize("size", [-1, 60_000])
def test_a_validation_split_that_takes_everything_is_refused(cls, size):
    with pytest.raises(ConfigurationError, match="validation_size"):
        cls(validation_size=size)


@pytest.mark.parametrize(("cls", "classes"), LABELLED.items())
def test_contexts_are_one_hot(cls, classes, real):
    real(MAIN[cls])
    data = load(cls, context="label")
    assert data.context_dim == classes
    for split in (data.train, data.val, data.test):
        context = split.batch(torch.arange(len(split))).given["context"]
        assert context.shape == (len(split), classes)
        assert context.is_floating_point()
        assert torch.equal(context.max(1).values, torch.ones(len(split)))
        assert torch.equal(context.sum(1), torch.ones(len(split)))


def test_contexts_match_the_label_file(real):
    raw = gzip.decompress(real("MNIST/raw/t10k-labels-idx1-ubyte.gz").read_bytes())
    labels = torch.frombuffer(bytearray(raw[8:]), dtype=torch.uint8)
    context = load(MNIST, context="label").test.given["context"]
    assert torch.equal(context.argmax(1), labels.long())


def test_without_a_context_nothing_is_given(real):
    real(MAIN[MNIST])
    data = load(MNIST)
    assert data.context_dim == 0
    assert data.train.batch(torch.arange(2)).given == {}


def test_bits_are_a_function_of_seed_and_option(real):
    real(MAIN[FreyFaces])
    dynamic = [load_anew(FreyFaces, seed, binarize="dynamic") for seed in (0, 0, 1)]
    assert torch.equal(dynamic[0].test.stored, dynamic[1].test.stored)
    assert not torch.equal(dynamic[0].test.stored, dynamic[2].test.stored)
    static = [load_anew(FreyFaces, seed, binarize="static") for seed in (0, 1)]
    assert torch.equal(static[0].train.stored, static[1].train.stored)
    assert mean(static[0].train) == pytest.approx(mean(dynamic[0].train) / 255, abs=1e-3)


def test_gz_and_unzipped_files_agree(writable_copy):
    root = writable_copy(*(f"{name}.gz" for name in MNIST_FILES))
    zipped = load(MNIST, dir=str(root))
    for name in MNIST_FILES:
        path = root / f"{name}.gz"
        (root / name).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    plain = load(MNIST, dir=str(root))
    assert torch.equal(zipped.train.stored, plain.train.stored)
    assert torch.equal(zipped.test.stored, plain.test.stored)
    assert plain.facts["data/file"] == "train-images-idx3-ubyte"


def test_packed_and_text_bits_agree(writable_copy, real):
    real(MAIN[StaticMNIST])
    parts = ("train", "valid", "test")
    root = writable_copy(*(f"MNIST_static/binarized_mnist_{p}.amat.gz" for p in parts))
    packed, texts = load(StaticMNIST), load(StaticMNIST, dir=str(root))
    for a, b in [(packed.train, texts.train), (packed.val, texts.val), (packed.test, texts.test)]:
        assert torch.equal(a.stored, b.stored)


def test_a_read_only_folder_is_enough(writable_copy):
    root = writable_copy(MAIN[FreyFaces])
    folder = root / "Freyfaces"
    folder.chmod(0o555)
    assert len(load(FreyFaces, dir=str(root)).train) == 1565
    assert [path.name for path in folder.iterdir()] == ["freyfaces.npz"]
    folder.chmod(0o755)


@pytest.mark.parametrize("cls", [Caltech101Silhouettes, Omniglot, FreyFaces, StaticMNIST])
def test_one_changed_byte_is_found(cls, writable_copy):
    path = writable_copy(MAIN[cls]) / MAIN[cls]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged") as caught:
        load(cls, dir=str(path.parents[1]))
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_truncated_gz_is_found(writable_copy):
    root = writable_copy(*(f"{name}.gz" for name in MNIST_FILES))
    path = root / f"{MNIST_FILES[1]}.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=str(path)):
        load(MNIST, dir=str(root))


def test_the_drawers_held_out_are_those_of_the_derived_file(real):
    arrays = np.load(real(MAIN[Omniglot]))
    data = load(Omniglot, validation_size=0)
    is_test = torch.from_numpy(arrays["is_test_15_5"] == 1)
    images = torch.from_numpy(arrays["images"])[:, None]
    assert torch.equal(data.test.stored, images[is_test])
    ours, theirs = data.train.stored.numpy(), images[~is_test].numpy()
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))


def test_original_pictures_give_the_derived_ones(real, tmp_path, monkeypatch):
    """Two characters of two alphabets, in torchvision's layout, through our own 28x28."""
    characters = {709: "background/Alphabet_of_the_Magi", 965: "evaluation/Angelic"}
    packed = np.load(real("omniglot/omniglot_105x105_packed.npz"))
    rows = np.flatnonzero(np.isin(packed["character"], list(characters)))
    ink = np.unpackbits(packed["images"][rows], axis=1, count=105 * 105).reshape(-1, 105, 105)
    for row, bits in zip(rows, ink, strict=True):
        number, drawer = packed["character"][row], packed["drawer"][row]
        name = f"omniglot-py/images_{characters[number]}/character01/{number:04}_{drawer:02}.png"
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(bits == 0).save(path)
    monkeypatch.setattr(omniglot, "_N", len(rows))
    data = load(Omniglot, dir=str(tmp_path), validation_size=0, context="label")
    derived = np.load(real(MAIN[Omniglot]))
    is_test = derived["is_test_15_5"][rows] == 1
    expected = torch.from_numpy(derived["images"][rows])[:, None]
    assert torch.equal(data.test.stored, expected[torch.from_numpy(is_test)])
    assert data.test.given["context"].argmax(1).tolist() == [0] * 5 + [1] * 5
    assert data.facts["data/source"] == "omniglot-py"


@pytest.mark.slow
def test_packed_drawings_give_the_derived_ones(writable_copy, real):
    root = writable_copy("omniglot/omniglot_105x105_packed.npz")
    real(MAIN[Omniglot])
    ours, derived = load(Omniglot, dir=str(root)), load(Omniglot)
    for a, b in [(ours.train, derived.train), (ours.val, derived.val), (ours.test, derived.test)]:
        assert torch.equal(a.stored, b.stored)


def test_an_incomplete_omniglot_folder_is_refused(tmp_path):
    path = tmp_path / "omniglot-py/images_background/Korean/character01/0539_01.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="holds 1 pictures, expected 32460"):
        load(Omniglot, dir=str(tmp_path))


@pytest.mark.parametrize("cls", [cls for cls in MAIN if cls not in DOWNLOADED])
def test_a_set_that_cannot_be_downloaded_names_its_file(cls, tmp_path):
    with pytest.raises(DataError, match=f"not found in {tmp_path}") as caught:
        load(cls, dir=str(tmp_path))
    folder, suffix = MAIN[cls].split("/")[0], MAIN[cls].split(".")[-1]
    assert str(tmp_path / folder) in caught.value.hint
    assert "sha256 " in caught.value.hint
    assert suffix in caught.value.hint or cls is StaticMNIST


def test_a_file_of_the_wrong_kind_is_not_unpacked(tmp_path, no_network):
    folder = tmp_path / "MNIST/raw"
    folder.mkdir(parents=True)
    for name in MNIST_FILES:
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="is a directory"):
        load(MNIST, dir=str(tmp_path))
