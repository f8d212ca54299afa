"""Boxes that move with their pictures: where they end, which are dropped and why, and that nothing else changes."""

import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path

import albumentations
import numpy as np
import pytest
from albumentations import BasicTransform
from hydra.utils import instantiate
from omegaconf import OmegaConf

from datamodules.augmentation import KeyedAugmentation
from datamodules.detection.augmentation import BoxAugmentation, Sample
from datamodules.detection.objects import ObjectRows
from datamodules.errors import DataError

CONF = Path(__file__).parents[3] / "conf" / "augmentation"
HEIGHT, WIDTH = 21, 37
BOXES = [[0, 0, 37, 21], [3, 5, 4, 6], [30, 10, 37, 21], [7.25, 2.5, 20, 9]]
LABELS = [70_001, 0, 3, 16_777_217]  # the last one is no float32


def sample(boxes: object = BOXES, labels: Sequence[int] = LABELS, proposals: object = ((1, 2, 30, 20),)) -> Sample:
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    crowd = [place == 2 for place in range(len(labels))]
    objects = ObjectRows.of(boxes, labels, crowd=crowd, difficult=[not one for one in crowd])
    return Sample(picture, objects, np.asarray(proposals, dtype=np.float32).reshape(-1, 4), {})


def changed(*transforms: BasicTransform, given: Sample | None = None, index: int = 0, **options: float) -> Sample:
    augmentation = BoxAugmentation(transforms, seed=0, **options)
    return augmentation.moved(given or sample(), epoch=0, index=index)


def test_a_flip_mirrors_pictures_objects_and_proposals_exactly() -> None:
    before, after = sample(), changed(albumentations.HorizontalFlip(p=1))
    assert np.array_equal(after.picture, before.picture[:, ::-1])
    mirrored = np.array(BOXES)[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [WIDTH, 0, WIDTH, 0]
    assert np.array_equal(after.objects.boxes, mirrored.astype(np.float32))
    assert after.proposals.tolist() == [[7, 2, 36, 20]]
    assert after.objects.labels.tolist() == LABELS
    assert after.objects.labels.dtype == np.int64
    assert after.objects.crowd.tolist() == [False, False, True, False]
    assert after.objects.difficult.tolist() == [True, True, False, True]
    assert after.objects.boxes.dtype == after.objects.area.dtype == after.proposals.dtype == np.float32
    assert np.allclose(after.objects.area, before.objects.area)
    assert after.dropped == {}


def test_whole_pixels_stay_whole_through_many_steps() -> None:
    after = changed(
        albumentations.Transpose(p=1), albumentations.VerticalFlip(p=1), albumentations.Crop(2, 3, 21, 36, p=1)
    )
    assert after.picture.shape == (33, 19, 3)
    one = next(box for box, label in zip(after.objects.boxes, after.objects.labels, strict=True) if label == 3)
    assert np.array_equal(one, np.round(one))


@pytest.mark.parametrize(
    ("transforms", "options", "kept", "dropped"),
    [
        # The first object loses 3/4 of its box, the second and third are not in the corner.
        ([albumentations.Crop(0, 0, 19, 10, p=1)], {"min_visibility": 0.2}, [0, 1, 3], {"outside": 1}),
        ([albumentations.Crop(0, 0, 19, 10, p=1)], {"min_visibility": 0.3}, [1, 3], {"outside": 2}),
        ([albumentations.Crop(0, 0, 19, 10, p=1)], {"min_area": 2}, [3], {"outside": 2, "tiny": 1}),
        # Half of it twice: each cut alone would leave enough.
        (
            [albumentations.Crop(0, 0, 19, 21, p=1), albumentations.Crop(0, 0, 19, 10, p=1)],
            {"min_visibility": 0.3},
            [1, 3],
            {"outside": 2},
        ),
        # What was cut off does not come back with a wider border.
        (
            [albumentations.Crop(0, 0, 19, 10, p=1), albumentations.PadIfNeeded(40, 40, position="top_left", p=1)],
            {"min_visibility": 0.3},
            [1, 3],
            {"outside": 2},
        ),
        ([albumentations.Resize(2, 4, p=1)], {}, [0], {"tiny": 3}),
    ],
)
def test_what_is_no_object_any_more_is_dropped_and_counted(
    transforms: list[BasicTransform], options: dict[str, float], kept: list[int], dropped: dict[str, int]
) -> None:
    after = BoxAugmentation(transforms, seed=0, **options).moved(sample(), epoch=0, index=0)
    assert after.objects.labels.tolist() == [LABELS[place] for place in kept]
    assert after.dropped == dropped
    height, width = after.picture.shape[:2]
    assert (after.objects.boxes >= 0).all()
    assert (after.objects.boxes[:, 2:] <= [width, height]).all()


def test_areas_shrink_as_boxes_do() -> None:
    given = sample([[10, 0, 20, 10]], [0])
    given = given._replace(objects=ObjectRows.of([[10, 0, 20, 10]], [0], area=[60]))
    assert changed(albumentations.Crop(0, 0, 15, 21, p=1), given=given).objects.area.tolist() == [30]


def test_objects_that_a_transform_hides_are_counted() -> None:
    cover = albumentations.CoarseDropout(
        num_holes_range=(1, 1), hole_height_range=(21, 21), hole_width_range=(37, 37), p=1
    )
    after = changed(cover)
    assert len(after.objects) == 0
    assert after.dropped == {"hidden": 4}


def test_proposals_are_cut_off_and_stay_in_order() -> None:
    given = sample(proposals=[[0, 0, 37, 21], [20, 0, 30, 5], [5, 5, 6, 6], [15, 2, 37, 21]])
    after = changed(albumentations.Crop(0, 0, 16, 10, p=1), given=given)
    # Little of the last one is left, but a region it is.
    assert after.proposals.tolist() == [[0, 0, 16, 10], [5, 5, 6, 6], [15, 2, 16, 10]]


@pytest.mark.parametrize(
    "transform",
    [
        albumentations.HorizontalFlip(p=1),
        albumentations.RandomCrop(8, 8, p=1),
        albumentations.Affine(scale=(0.5, 1.5), rotate=(-30, 30), p=1),
        albumentations.CropAndPad(percent=0.125, keep_size=False, p=1),
        albumentations.RandomResizedCrop((16, 16), p=1),
        albumentations.BBoxSafeRandomCrop(p=1),
        albumentations.RandomSizedBBoxSafeCrop(12, 12, p=1),
        albumentations.SomeOf([albumentations.VerticalFlip(p=1), albumentations.GaussNoise(p=1)], n=2),
        albumentations.CoarseDropout(p=1),
        albumentations.LongestMaxSize(16, p=1),
        albumentations.GaussNoise(p=1),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_pictures_without_objects_or_proposals_are_legal(transform: BasicTransform) -> None:
    nothing = sample(np.empty((0, 4)), [], np.empty((0, 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for index in range(4):
            after = changed(transform, given=nothing, index=index)
            assert after.objects.boxes.shape == after.proposals.shape == (0, 4)
            assert after.dropped == {}
            many = changed(transform, index=index, min_visibility=0.0)
            assert len(many.objects) + sum(many.dropped.values()) == len(LABELS)
            height, width = many.picture.shape[:2]
            assert (many.objects.boxes[:, 2:] <= [width, height]).all()
            assert (many.objects.boxes[:, :2] < many.objects.boxes[:, 2:]).all()


def test_where_only_pixels_change_boxes_stay_to_the_bit() -> None:
    odd = [[0.1, 0.2, 7.3, 9.7]]
    after = changed(albumentations.RandomBrightnessContrast(p=1), given=sample(odd, [5]))
    assert after.objects.boxes.tolist() == np.asarray(odd, dtype=np.float32).tolist()
    assert not np.array_equal(after.picture, sample().picture)


def test_without_transforms_a_sample_is_what_it_was() -> None:
    given = sample()
    assert changed(given=given) is given


def test_draws_depend_on_seed_epoch_and_index_alone_and_are_those_of_pictures_without_boxes() -> None:
    transforms = [albumentations.HorizontalFlip(p=0.5), albumentations.GaussNoise(p=1)]
    one, other = (BoxAugmentation(transforms, seed=7) for _ in range(2))
    plain = KeyedAugmentation(transforms, seed=7)
    forward = [one.moved(sample(), epoch=1, index=index) for index in range(8)]
    backward = [other.moved(sample(), epoch=1, index=index) for index in reversed(range(8))][::-1]
    for index, (first, second) in enumerate(zip(forward, backward, strict=True)):
        assert np.array_equal(first.picture, second.picture)
        assert np.array_equal(first.objects.boxes, second.objects.boxes)
        assert np.array_equal(first.picture, plain(sample().picture, epoch=1, index=index))
    assert len({result.objects.boxes.tobytes() for result in forward}) == 2
    assert len({result.picture.tobytes() for result in forward}) == 8


def test_workers_that_are_spawned_augment_alike() -> None:
    augmentation = BoxAugmentation([albumentations.RandomCrop(9, 9, p=1)], seed=0)
    before = augmentation.moved(sample(), epoch=0, index=0)
    after = pickle.loads(pickle.dumps(augmentation)).moved(sample(), epoch=0, index=0)  # noqa: S301
    assert np.array_equal(after.objects.boxes, before.objects.boxes)
    assert after.dropped == before.dropped != {}


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_shipped_option_moves_boxes(name: str) -> None:
    root = OmegaConf.create({"augmentation": OmegaConf.load(CONF / f"{name}.yaml"), "datamodule": {"image_size": 20}})
    augmentation = BoxAugmentation(instantiate(root.augmentation.transforms, _convert_="all"), seed=0)
    augmentation.check_on([(20, 20)], channels=3)
    given = sample([[0, 0, 20, 20]], [3], [[1, 2, 15, 20]])._replace(picture=sample().picture[:20, :20])
    for index in range(4):
        after = augmentation.moved(given, epoch=0, index=index)
        assert after.picture.shape == (20, 20, 3)
        assert after.objects.labels.tolist() == [3]


def test_what_counts_as_an_object_is_part_of_the_description() -> None:
    flip = [albumentations.HorizontalFlip(p=0.5)]
    digests = {
        BoxAugmentation(flip, seed=seed, min_area=area, min_visibility=least).digest
        for seed in (0, 1)
        for area, least in ((1, 0.25), (2, 0.25), (1, 0.5))
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("transform", "error"),
    [
        (
            albumentations.RandomCrop(10, 40, p=0.01),
            r"^augmentation\.transforms\[1\]: RandomCrop cannot be applied to a picture of 37x21 pixels ",
        ),
        (albumentations.ToFloat(), r"ToFloat: turns 3 channels of uint8 into 21x37x3 of float32$"),
        (albumentations.ToGray(num_output_channels=1), r"ToGray: turns 3 channels of uint8 into 21x37.* of uint8$"),
    ],
)
def test_a_transform_that_does_not_fit_is_named(transform: BasicTransform, error: str) -> None:
    augmentation = BoxAugmentation([albumentations.HorizontalFlip(p=1), transform], seed=0)
    with pytest.raises(DataError, match=error):
        augmentation.check_on([(HEIGHT, WIDTH)], channels=3)


def test_what_fails_at_one_picture_names_it() -> None:
    with pytest.raises(DataError, match=r"^augmentation: sample 3, of 37x21 pixels \(width x height\): "):
        changed(albumentations.RandomCrop(30, 30, p=1), index=3)
