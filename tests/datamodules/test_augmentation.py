"""Augmentation: keyed draws, what is recorded of it, and transforms that do not fit."""

import itertools
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import albumentations
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from datamodules.augmentation import KeyedAugmentation
from datamodules.errors import DataError

CONF = Path(__file__).parents[2] / "conf" / "augmentation"
PICTURE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def test_draws_depend_on_nothing_but_seed_epoch_and_index(transforms: list[albumentations.BasicTransform]) -> None:
    keys = list(itertools.product(range(3), range(20)))
    augmentation = KeyedAugmentation(transforms, seed=5)
    first = {key: augmentation(PICTURE, epoch=key[0], index=key[1]) for key in keys}
    copied = pickle.loads(pickle.dumps(augmentation))  # noqa: S301 - our own
    for key in reversed(keys):
        assert np.array_equal(copied(PICTURE, epoch=key[0], index=key[1]), first[key])
    assert len({picture.tobytes() for picture in first.values()}) == len(keys)
    other = KeyedAugmentation(transforms, seed=6)
    assert not np.array_equal(other(PICTURE, epoch=0, index=0), first[0, 0])


def test_shared_transforms_do_not_disturb_each_other(transforms: list[albumentations.BasicTransform]) -> None:
    one, two = KeyedAugmentation(transforms, seed=1), KeyedAugmentation(transforms, seed=2)
    before = one(PICTURE, epoch=0, index=0)
    two(PICTURE, epoch=0, index=0)
    assert np.array_equal(one(PICTURE, epoch=0, index=0), before)


def test_transforms_of_one_picture_draw_independently() -> None:
    flips = [albumentations.HorizontalFlip(p=0.5), albumentations.VerticalFlip(p=0.5)]
    augmentation = KeyedAugmentation(flips, seed=0)
    corner = np.zeros((2, 2, 1), dtype=np.uint8)
    corner[0, 0] = 255
    places = [np.argwhere(augmentation(corner, epoch=0, index=index)[:, :, 0] == 255)[0] for index in range(4000)]
    vertical, horizontal = np.asarray(places).T
    assert abs(np.corrcoef(vertical, horizontal)[0, 1]) < 0.05
    assert abs(vertical.mean() - 0.5) < 0.03
    assert abs(horizontal.mean() - 0.5) < 0.03


def test_description_and_digest_say_what_is_done() -> None:
    flip = KeyedAugmentation([albumentations.HorizontalFlip(p=0.5)], seed=0)
    assert flip.description["transform"]["transforms"][0]["p"] == 0.5
    same = KeyedAugmentation([albumentations.HorizontalFlip(p=0.5)], seed=1)
    assert flip.digest == same.digest
    other = KeyedAugmentation([albumentations.HorizontalFlip(p=0.4)], seed=0)
    assert len({flip.digest, other.digest, KeyedAugmentation([], seed=0).digest}) == 3


@pytest.mark.parametrize("size", [8, 28, 32, 224])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_shipped_option_fits_every_size(name: str, channels: int, size: int) -> None:
    root = OmegaConf.create({"augmentation": OmegaConf.load(CONF / f"{name}.yaml"), "datamodule": {"image_size": size}})
    augmentation = KeyedAugmentation(instantiate(root.augmentation.transforms, _convert_="all"), seed=0)
    augmentation.check(image_size=size, channels=channels)
    picture = np.random.default_rng(0).integers(0, 256, (size, size, channels), dtype=np.uint8)
    changed = [augmentation(picture, epoch=0, index=index) for index in range(8)]
    assert {item.shape for item in changed} == {picture.shape}
    assert (len({item.tobytes() for item in changed}) == 1) == (name == "none")


def test_flip_crop_shifts_by_an_eighth_at_most() -> None:
    root = OmegaConf.create({"augmentation": OmegaConf.load(CONF / "flip_crop.yaml"), "datamodule": {"image_size": 32}})
    augmentation = KeyedAugmentation(instantiate(root.augmentation.transforms, _convert_="all"), seed=0)
    dot = np.zeros((32, 32, 1), dtype=np.uint8)
    dot[16, 16] = 255
    places = [tuple(np.argwhere(augmentation(dot, epoch=0, index=i)[:, :, 0] == 255)[0]) for i in range(2000)]
    rows, columns = (sorted({place[axis] for place in places}) for axis in (0, 1))
    assert rows == list(range(12, 21))
    assert columns == list(range(11, 21))  # mirrored pictures have their dot at 15


@pytest.mark.parametrize(
    ("chosen", "channels", "message"),
    [
        (
            [albumentations.RandomCrop(40, 40)],
            3,
            ".height=40: RandomCrop cannot be applied to pictures of 32x32 pixels and 3",
        ),
        (
            [albumentations.HorizontalFlip(), albumentations.RandomCrop(28, 28)],
            3,
            ".height=28: RandomCrop turns a 32x32x3",
        ),
        ([albumentations.RandomCrop(28, 28, p=0.001)], 3, ".height=28: RandomCrop turns a 32x32x3 uint8"),
        ([albumentations.Normalize()], 3, ": Normalize turns a 32x32x3 uint8 picture into 32x32x3 float32"),
        ([albumentations.ToTensorV2()], 3, ": ToTensorV2 turns a 32x32x3 uint8 picture into 3x32x32 torch.uint8"),
        ([albumentations.ChannelShuffle(), albumentations.ToGray(num_output_channels=1)], 3, ": ToGray turns"),
    ],
)
def test_a_transform_that_does_not_fit_is_named(
    chosen: list[albumentations.BasicTransform], channels: int, message: str
) -> None:
    augmentation = KeyedAugmentation(chosen, seed=0)
    with pytest.raises(DataError) as caught:
        augmentation.check(image_size=32, channels=channels)
    assert str(caught.value).startswith(f"augmentation.transforms[{len(chosen) - 1}]{message}")
    assert "\n" not in str(caught.value)


def test_an_unknown_argument_is_an_error_even_when_nested() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nested = albumentations.OneOf([albumentations.HorizontalFlip(prob=0.5), albumentations.VerticalFlip()])
    with pytest.raises(DataError, match=r"^augmentation: HorizontalFlip has no argument 'prob'$"):
        KeyedAugmentation([nested], seed=0)


def test_what_cannot_be_recorded_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nameless = albumentations.Lambda(image=lambda image, **_: image)
    with pytest.raises(DataError, match=r"^augmentation: Lambda cannot be composed and recorded"):
        KeyedAugmentation([nameless], seed=0)


def test_a_transform_that_seldom_changes_the_shape_is_caught_when_it_does() -> None:
    sometimes = KeyedAugmentation([albumentations.CenterCrop(4, 4, p=0.5)], seed=0)
    with pytest.raises(DataError, match=r"^augmentation: CenterCrop turns a 8x8x3 uint8 picture into 4x4x3 uint8"):
        _ = [sometimes(PICTURE, epoch=0, index=index) for index in range(50)]


def test_albumentations_is_imported_late_and_never_asks_the_network() -> None:
    program = (
        "import os, sys, datamodules.augmentation as a; assert 'albumentations' not in sys.modules;"
        "assert os.environ['NO_ALBUMENTATIONS_UPDATE'] == '1';"
        "a.KeyedAugmentation([], seed=0).check(image_size=8, channels=1); assert 'albumentations' not in sys.modules"
    )
    environment = {key: value for key, value in os.environ.items() if key != "NO_ALBUMENTATIONS_UPDATE"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=Path(__file__).parents[2])
