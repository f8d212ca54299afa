"""Average precision: what counts as found, in whatever order and from whatever process; wrong input is named."""

import pickle

import numpy as np
import pytest
import torch

from lightning_modules.average_precision import AveragePrecision, DetectionScores
from lightning_modules.detections import Objects
from lightning_modules.networks.boxes import Detections
from tests.lightning_modules.detection_cases import Case, detections, gathered, objects, random_case, scores


def test_perfect_detections_reach_one() -> None:
    case = random_case(0)
    perfect: Case = {}
    for picture, (_, true) in case.items():
        true["crowd"] = torch.zeros(len(true["labels"]), dtype=torch.bool)
        found: Detections = {
            "boxes": true["boxes"],
            "scores": torch.rand(len(true["labels"])),
            "labels": true["labels"],
        }
        perfect[picture] = (found, true)
    measured = scores(perfect, 5)
    numbers = measured.numbers()
    # COCO's recall of the best one or ten is limited by how many objects a picture has.
    assert numbers.pop("coco_ar1") < numbers.pop("coco_ar10") <= 1
    assert set(numbers.values()) == {1.0}
    assert measured.errors.counts().sum() == 0
    assert measured.classes_without_objects == (4,)


def test_a_second_detection_of_an_object_is_false() -> None:
    true = objects((0, 0, 10, 10, 0), (50, 0, 60, 10, 0))
    found = detections((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 9, 0.8, 0), (50, 0, 60, 10, 0.7, 0))
    measured = scores({0: (found, true)})
    assert measured.voc.area[0] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert measured.errors.counts(3).tolist() == [[1, 0, 0]]


def test_an_object_goes_to_the_surer_detection_not_to_the_better_one() -> None:
    found = detections((0, 0, 10, 6, 0.9, 0), (0, 0, 10, 10, 0.8, 0))
    curve = scores({0: (found, objects((0, 0, 10, 10, 0)))}).voc.curves[0]
    assert curve.precision.tolist() == [1.0, 0.5]


def test_half_of_overlap_finds_and_less_does_not() -> None:
    true = objects((0, 0, 10, 10, 0))
    assert scores({0: (detections((0, 0, 10, 5, 0.9, 0)), true)}).voc.area[0] == 1
    assert scores({0: (detections((0, 0, 10, 4.99, 0.9, 0)), true)}).voc.area[0] == 0


def test_detections_in_a_crowd_count_for_nothing() -> None:
    true = objects((0, 0, 10, 10, 0), (100, 0, 200, 100, 0), crowd=[False, True])
    inside = (110.0, 10.0, 120.0, 20.0, 0.9, 0)
    other_class = (110.0, 10.0, 120.0, 20.0, 0.9, 1)
    found = detections(inside, inside, other_class, (0, 0, 10, 10, 0.5, 0))
    measured = scores({0: (found, true)}, 2)
    assert measured.objects == (1, 0)
    assert measured.voc.area[0] == measured.coco.ap_per_class[0] == 1
    assert measured.errors.counts(5).tolist() == [[0, 0, 0], [0, 0, 1]]


def test_a_class_without_objects_is_nan_and_in_no_mean() -> None:
    found = detections((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.9, 1))
    measured = scores({0: (found, objects((0, 0, 10, 10, 0)))}, 3)
    assert measured.classes_without_objects == (1, 2)
    for values in (measured.voc.area, measured.voc.eleven_points, measured.coco.ap_per_class):
        assert values[0] == 1
        assert np.isnan(values[1:]).all()
    assert measured.numbers()["map50"] == 1
    assert "coco_ap_large" not in measured.numbers()


def test_without_detections_every_mean_is_zero() -> None:
    measured = scores({0: (detections(), objects((0, 0, 10, 10, 0), (0, 0, 200, 200, 1)))}, 3)
    assert set(measured.numbers().values()) == {0.0}
    assert [len(curve.scores) for curve in measured.voc.curves] == [0, 0, 0]


@pytest.mark.parametrize(
    "case", [{}, {3: (detections(), objects())}, {3: (detections((0, 0, 1, 1, 0.5, 0)), objects())}]
)
def test_without_objects_there_are_no_numbers(case: Case) -> None:
    measured = scores(case, 2)
    assert measured.numbers() == {}
    assert measured.pictures == len(case)
    assert measured.errors.counts(9).sum() == sum(len(found["labels"]) for found, _ in case.values())


def same(one: DetectionScores, other: DetectionScores) -> bool:
    """Whether two scores agree to the bit, their curves and errors too."""
    for mine, theirs in zip(one.voc.curves, other.voc.curves, strict=True):
        np.testing.assert_array_equal(mine.scores, theirs.scores)
        np.testing.assert_array_equal(mine.precision, theirs.precision)
        np.testing.assert_array_equal(mine.recall, theirs.recall)
    for mine_kinds, their_kinds in zip(one.errors.kinds, other.errors.kinds, strict=True):
        np.testing.assert_array_equal(mine_kinds, their_kinds)
    np.testing.assert_array_equal(one.coco.ap_per_class, other.coco.ap_per_class)
    return (one.numbers(), one.objects, one.pictures) == (other.numbers(), other.objects, other.pictures)


def test_the_order_of_the_pictures_changes_nothing() -> None:
    case = random_case(1)
    assert same(scores(case, 5), scores(dict(reversed(case.items())), 5))


@pytest.mark.parametrize("ties", [True, False])
def test_the_order_of_the_detections_changes_nothing(ties: bool) -> None:
    case = random_case(2, ties=ties)
    generator = torch.Generator().manual_seed(0)
    shuffled: Case = {}
    for picture, (found, true) in case.items():
        order = torch.randperm(len(found["labels"]), generator=generator)
        moved: Detections = {
            "boxes": found["boxes"][order],
            "scores": found["scores"][order],
            "labels": found["labels"][order],
        }
        shuffled[picture] = (moved, true)
    one, other = scores(case, 5), scores(shuffled, 5)
    if ties:
        # COCO's evaluation itself goes by the order of equal scores.
        assert one.voc.area.tolist()[:4] == other.voc.area.tolist()[:4]
        assert one.voc.eleven_points.tolist()[:4] == other.voc.eleven_points.tolist()[:4]
        assert one.errors.counts().tolist() == other.errors.counts().tolist()
    else:
        assert same(one, other)


def test_a_picture_that_comes_twice_counts_once() -> None:
    case = random_case(3)
    twice = gathered(case, 5)
    for picture in (0, 7, 19):
        twice.update([picture], [detections((0, 0, 1, 1, 1.0, 0))], [case[picture][1]])
    assert same(twice.compute(), scores(case, 5))


def test_merging_what_processes_gathered_is_one_pass() -> None:
    case = random_case(4)
    # The third takes two pictures of the first again, as a padded share has them.
    shares = [{key: case[key] for key in case if key % 3 == rank or (rank == 2 and key < 6)} for rank in range(3)]
    whole = AveragePrecision(5)
    for share in reversed(shares):
        whole.merge(pickle.loads(pickle.dumps(gathered(share, 5))))  # noqa: S301 - what was just made
    assert same(whole.compute(), scores(case, 5))
    whole.reset()
    assert whole.compute().pictures == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_float_of_torch_is_taken(dtype: torch.dtype) -> None:
    found, true = detections((0, 0, 10, 10, 0.5, 0)), objects((0, 0, 10, 10, 0))
    found["boxes"], found["scores"] = found["boxes"].to(dtype).requires_grad_(), found["scores"].to(dtype)
    true["boxes"] = true["boxes"].int()
    assert scores({0: (found, true)}).coco.ap == 1


def test_what_was_taken_is_a_copy() -> None:
    found, true = detections((0, 0, 10, 10, 0.5, 0)), objects((0, 0, 10, 10, 0))
    metric = gathered({0: (found, true)}, 1)
    found["boxes"] += 100
    assert metric.compute().numbers()["map50"] == 1


BOX = (0.0, 0.0, 10.0, 10.0)


@pytest.mark.parametrize(
    ("found", "true", "said"),
    [
        (
            detections((*BOX, 0.5, 0), (4, 5, 2, 9, 0.5, 0)),
            objects(),
            r"picture 7, detection 1: box \(4, 5, 2, 9\): must be x1 < x2 and y1 < y2, all finite",
        ),
        (detections(), objects((0, 0, 0, 5, 0)), r"picture 7, object 0: box \(0, 0, 0, 5\): must be x1 < x2 and "),
        (detections((0, 0, float("inf"), 1, 0.5, 0)), objects(), r"picture 7, detection 0: box \(0, 0, inf, 1\): "),
        (detections((0, 0, float("nan"), 1, 0.5, 0)), objects(), r"picture 7, detection 0: box \(0, 0, nan, 1\): "),
        (
            detections((*BOX, float("nan"), 0)),
            objects(),
            r"picture 7, detection 0: score nan: must be finite",
        ),
        (detections((*BOX, 0.5, 3)), objects(), r"picture 7, detection 0: label 3: must be from 0 to 2"),
        (detections(), objects((*BOX, 1), (*BOX, -1)), r"picture 7, object 1: label -1: must be from 0 to 2"),
        (
            {"boxes": torch.zeros(2, 3), "scores": torch.zeros(2), "labels": torch.zeros(2).long()},
            objects(),
            r"picture 7, detections: boxes of shape \(2, 3\): must be \(N, 4\), x1 y1 x2 y2",
        ),
        (
            detections((*BOX, 0.5, 0)) | {"scores": torch.zeros(2)},
            objects(),
            r"picture 7, detections: scores of shape \(2,\): must be \(1,\), one per box",
        ),
        (
            detections((*BOX, 0.5, 0)) | {"labels": torch.zeros(1)},
            objects(),
            r"picture 7, detections: labels of torch.float32: must be integers",
        ),
        (
            detections(),
            objects((*BOX, 0)) | {"area": torch.tensor([-1.0])},
            r"picture 7, object 0: area -1.0: must be finite and at least 0",
        ),
        (
            detections(),
            objects((*BOX, 0), crowd=[True, False]),
            r"picture 7, objects: crowd of shape \(2,\): must be \(1,\), one per box",
        ),
    ],
)
def test_what_is_wrong_is_named(found: Detections, true: Objects, said: str) -> None:
    metric = AveragePrecision(3)
    with pytest.raises(ValueError, match=rf"^{said}"):
        metric.update([6, 7], [detections(), found], [objects(), true])
    assert metric.compute().pictures == 0


def test_two_pictures_with_one_id_are_refused() -> None:
    metric = gathered({4: (detections(), objects((*BOX, 0)))}, 2)
    said = r"^picture 4: taken twice, with other objects; every picture needs its own id$"
    with pytest.raises(ValueError, match=said):
        metric.update([5, 4], [detections(), detections()], [objects(), objects((*BOX, 1))])
    assert metric.compute().pictures == 1
    with pytest.raises(ValueError, match=said):
        AveragePrecision(2).update([4, 4], 2 * [detections()], [objects(), objects((*BOX, 1))])


def test_batches_and_accumulators_must_fit() -> None:
    with pytest.raises(ValueError, match=r"^1 picture ids, 2 detections, 1 objects: must be one of each per picture$"):
        AveragePrecision(1).update([0], 2 * [detections()], [objects()])
    with pytest.raises(ValueError, match=r"^num_classes=3: must be 2, as of what it is merged with$"):
        AveragePrecision(2).merge(AveragePrecision(3))
    with pytest.raises(ValueError, match=r"^num_classes=0: must be at least 1$"):
        AveragePrecision(0)
