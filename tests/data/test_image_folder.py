"""Pictures of a user: sizes, channels, labels and files that are no pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from vi.data.image_folder import ImageFolder
from vi.errors import ConfigurationError, DataError


@pytest.fixture
def folder(tmp_path):
    """A folder of six 4x6 colour pictures in two subfolders; picture i is i * 10 everywhere."""
    for i in range(6):
        save(tmp_path / ("ab"[i % 2]) / f"{i}.png", np.full((4, 6, 3), i * 10, np.uint8))
    return tmp_path


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def everything(path, **arguments):
    return ImageFolder(str(path), validation_fraction=0.0, test_fraction=0.0, **arguments).load()


def refuse(match, path, **arguments):
    with pytest.raises(DataError, match=match) as caught:
        everything(path, **arguments)
    assert "\n" not in str(caught.value) + caught.value.hint
    return caught.value


@pytest.mark.parametrize(("grey", "channels"), [(True, 1), (False, 3)])
def test_all_pictures_are_resident_as_bytes(folder, grey, channels):
    data = ImageFolder(str(folder), grey=grey).load()
    assert data.shape == (channels, 4, 6)
    stored = torch.cat([data.train.stored, data.val.stored, data.test.stored])
    assert stored.dtype == torch.uint8
    assert sorted(stored[:, 0, 0, 0].tolist()) == [0, 10, 20, 30, 40, 50]
    assert data.facts["data/levels"] == 255


def test_pictures_stand_upright_and_keep_their_channels(tmp_path):
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    save(tmp_path / "one.png", picture)
    stored = everything(tmp_path).train.stored[0]
    assert np.array_equal(stored.permute(1, 2, 0).numpy(), picture)


def test_pictures_of_any_size_are_resized(folder):
    save(folder / "a/large.PNG", np.full((40, 50, 3), 255, np.uint8))
    Image.new("L", (3, 3), 255).save(folder / "a/small.jpeg")
    data = everything(folder, size=5)
    assert data.shape == (3, 5, 5)
    assert (data.train.stored.flatten(1).double().mean(1) == 255).sum() == 2


def test_labels_are_the_names_of_the_subfolders(folder):
    save(folder / "b/deeper/1.png", np.full((4, 6, 3), 70, np.uint8))
    data = everything(folder, context="label")
    assert data.context_dim == 2
    tens = data.train.stored[:, 0, 0, 0] // 10
    assert torch.equal(data.train.given["context"].argmax(1), (tens % 2).long())


def test_without_subfolders_there_are_no_labels(tmp_path):
    save(tmp_path / "1.png", np.zeros((2, 2), np.uint8))
    assert everything(tmp_path).context_dim == 0
    assert str(tmp_path / "1.png") in str(refuse("no label", tmp_path, context="label"))


def test_the_digest_changes_with_a_picture_or_its_name(folder):
    before = everything(folder).facts["data/sha256"]
    assert everything(folder).facts["data/sha256"] == before
    (folder / "a/0.png").rename(folder / "a/00.png")
    renamed = everything(folder).facts["data/sha256"]
    save(folder / "a/00.png", np.full((4, 6, 3), 1, np.uint8))
    assert len({before, renamed, everything(folder).facts["data/sha256"]}) == 3


def test_grey_levels_may_be_binarised(folder):
    data = everything(folder, grey=True, binarize="dynamic")
    assert set(data.train.values(torch.arange(6)).unique().tolist()) <= {0.0, 1.0}


def test_the_first_picture_of_another_size_is_named(folder):
    save(folder / "b/odd.png", np.zeros((5, 6, 3), np.uint8))
    error = refuse("odd.png is 5x6, 0.png is 4x6", folder)
    assert "data.size" in error.hint


def test_what_is_no_picture_is_refused(folder):
    (folder / "a/text.png").write_text("no picture")
    refuse("text.png is not a readable picture", folder)


def test_a_truncated_picture_is_refused(folder):
    save(folder / "a/cut.png", np.random.randint(0, 255, (40, 40, 3)).astype(np.uint8))
    path = folder / "a/cut.png"
    path.write_bytes(path.read_bytes()[:200])
    refuse("cut.png is not a readable picture", folder, size=4)


def test_sixteen_bits_are_refused(folder):
    save(folder / "a/deep.png", np.full((4, 6), 60_000, np.uint16))
    refuse("deep.png has more than eight bits", folder)


def test_an_empty_and_a_missing_folder_and_a_file_are_refused(tmp_path):
    refuse("holds no pictures", tmp_path)
    refuse("is not a folder", tmp_path / "missing")
    (tmp_path / "file").write_text("")
    refuse("is not a folder", tmp_path / "file")


def test_a_size_of_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="data.size"):
        ImageFolder("x", size=0)
