"""Average precision: equal to COCO's own evaluation and to worked examples of VOC's, whatever the order of pictures."""

import contextlib
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from lightning_modules.average_precision import AveragePrecision, DetectionScores
from lightning_modules.detection_errors import FalsePositive
from lightning_modules.detections import Objects
from lightning_modules.networks.boxes import Detections

Case = dict[int, tuple[Detections, Objects]]


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Make detections of (x1, y1, x2, y2, score, label)."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return {"boxes": table[:, :4], "scores": table[:, 4], "labels": table[:, 5].long()}


def objects(*rows: tuple[float, float, float, float, int], **flags: list[bool]) -> Objects:
    """Make objects of (x1, y1, x2, y2, label)."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 5)
    made: Objects = {"boxes": table[:, :4], "labels": table[:, 4].long()}
    if "crowd" in flags:
        made["crowd"] = torch.tensor(flags["crowd"])
    if "difficult" in flags:
        made["difficult"] = torch.tensor(flags["difficult"])
    return made


def gathered(case: Case, num_classes: int) -> AveragePrecision:
    metric = AveragePrecision(num_classes)
    for picture, (found, true) in case.items():
        metric.update([picture], [found], [true])
    return metric


def scores(case: Case, num_classes: int = 1) -> DetectionScores:
    return gathered(case, num_classes).compute()


def random_boxes(count: int, generator: torch.Generator) -> Tensor:
    """Make boxes with sides from 2 to 250 px, so that every size of COCO occurs."""
    corner = torch.rand(count, 2, generator=generator) * 200
    size = 2 * 125 ** torch.rand(count, 2, generator=generator).sqrt()
    return torch.cat([corner, corner + size], dim=1)


def random_case(seed: int, *, pictures: int = 20, num_classes: int = 5, ties: bool = True) -> Case:
    """Make pictures, some empty, of which the last class never occurs; detections near objects and elsewhere."""
    generator = torch.Generator().manual_seed(seed)

    def number(most: int) -> int:
        return int(torch.randint(most + 1, (1,), generator=generator))

    case: Case = {}
    for picture in range(pictures):
        count = number(8) * (picture % 5 > 0)
        boxes = random_boxes(count, generator)
        labels = torch.randint(num_classes - 1, (count,), generator=generator)
        true: Objects = {"boxes": boxes, "labels": labels, "crowd": torch.rand(count, generator=generator) < 0.15}
        if picture % 2:
            true["area"] = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1) * torch.rand(count, generator=generator)
        near = boxes.repeat(3, 1)
        shift = torch.randn(len(near), 2, generator=generator).repeat(1, 2) * 0.12
        near = near + shift * (near[:, 2:] - near[:, :2]).repeat(1, 2)
        # More than the hundred of one class that COCO looks at.
        many = picture % 7 == 0
        elsewhere = random_boxes(150 if many else number(10), generator)
        likely = torch.randint(num_classes, (len(elsewhere),), generator=generator) * (not many)
        found = torch.cat([near, elsewhere]) if picture % 6 else near[:0]
        likely = torch.cat([labels.repeat(3), likely])
        confidence = torch.rand(len(found), generator=generator)
        case[picture] = (
            {
                "boxes": found,
                "scores": (confidence * 20).round() / 20 if ties else confidence,
                "labels": likely[: len(found)],
            },
            true,
        )
    return case


def coco_reference(case: Case, num_classes: int) -> tuple[list[float], list[float]]:
    """Return COCO's twelve numbers and the average precision of each class, by COCO's own evaluation."""
    true: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for picture, (given, truth) in case.items():
        for index, (box, label) in enumerate(zip(truth["boxes"].double(), truth["labels"].tolist(), strict=True)):
            size = box[2:] - box[:2]
            area = truth["area"][index] if "area" in truth else size.prod()
            crowd = int(truth["crowd"][index]) if "crowd" in truth else 0
            true.append(
                {
                    "id": len(true) + 1,
                    "image_id": picture,
                    "category_id": label,
                    "bbox": [*box[:2].tolist(), *size.tolist()],
                    "area": float(area),
                    "iscrowd": crowd,
                }
            )
        rows = zip(given["boxes"].double(), given["scores"].tolist(), given["labels"].tolist(), strict=True)
        found += [
            {
                "image_id": picture,
                "category_id": label,
                "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
                "score": score,
            }
            for box, score, label in rows
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        truths = COCO()
        truths.dataset = {
            "info": {},
            "images": [{"id": picture} for picture in case],
            "categories": [{"id": label} for label in range(num_classes)],
            "annotations": true,
        }
        truths.createIndex()
        evaluation = COCOeval(truths, truths.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"]
    per_class = [precision[:, :, label, 0, -1] for label in range(num_classes)]
    means = [float(values[values > -1].mean()) if (values > -1).any() else -1.0 for values in per_class]
    return evaluation.stats.tolist(), means


COCO_NAMES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_cocos_numbers_are_those_of_its_own_evaluation(seed: int, ties: bool) -> None:
    case = random_case(seed, ties=ties)
    expected, per_class = coco_reference(case, 5)
    measured = scores(case, 5).coco
    numbers = [vars(measured)[name] for name in COCO_NAMES]
    np.testing.assert_allclose(numbers, expected, atol=1e-6)
    assert all(0 < number < 1 for number in expected[:5])
    # Small, medium and large objects do occur.
    assert min(expected) >= 0
    np.testing.assert_allclose(np.nan_to_num(measured.ap_per_class, nan=-1.0), per_class, atol=1e-6)
    assert np.isnan(measured.ap_per_class[-1])
    assert measured.ap50_per_class[:-1].mean() == pytest.approx(measured.ap50, abs=1e-12)


# Which of the 24 detections of 15 objects are true, by falling score: Padilla et al. 2020, "A survey on performance
# metrics for object-detection algorithms", whose table has 26.84 % by eleven points and 24.56 % by area.
PADILLA = [1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]


def ranked(true: list[int], count: int, values: list[float] | None = None) -> Case:
    """Make one picture of `count` objects, in which the detections of falling score are true or false as told."""
    values = values or [1 - position / 100 for position in range(len(true))]
    where = [10.0 * number if hit else 10.0 * number + 5000 for number, hit in enumerate(true)]
    rows = [(x, 0.0, x + 8, 8.0, value, 0) for x, value in zip(where, values, strict=True)]
    places = [10.0 * number for number, hit in enumerate(true) if hit]
    places += [-10.0 * (number + 1) for number in range(count - len(places))]
    return {0: (detections(*rows), objects(*((x, 0.0, x + 8, 8.0, 0) for x in places)))}


def test_vocs_average_precision_is_that_of_the_published_example() -> None:
    voc = scores(ranked(PADILLA, 15)).voc
    assert round(100 * voc.eleven_points[0], 2) == 26.84
    # The paper cuts what would round to 24.57.
    assert voc.area[0] == pytest.approx(1 / 15 + 2 / 3 / 15 + 4 * 3 / 7 / 15 + 7 / 23 / 15)
    assert int(10_000 * voc.area[0]) == 2456


def test_vocs_levels_of_recall_are_reached_exactly() -> None:
    # 3 of 10: 0.1 + 0.1 + 0.1 is more than 0.3.
    voc = scores(ranked([1, 1, 1], 10)).voc
    assert voc.eleven_points[0] == pytest.approx(4 / 11)
    assert voc.area[0] == pytest.approx(0.3)


def test_curves_hold_what_the_average_precision_is_made_of() -> None:
    curve = scores(ranked([1, 0, 1], 4)).voc.curves[0]
    assert curve.scores.tolist() == pytest.approx([1.0, 0.99, 0.98])
    assert curve.recall.tolist() == [0.25, 0.25, 0.5]
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve.interpolated().tolist() == pytest.approx([1, 2 / 3, 2 / 3])
    assert curve.area() == pytest.approx(0.25 + 0.25 * 2 / 3)


def test_equal_scores_are_one_point_with_the_false_ones_first() -> None:
    tied = scores(ranked([1, 0, 1, 0], 2, [0.9, 0.5, 0.5, 0.5])).voc
    worst = scores(ranked([1, 0, 0, 1], 2)).voc
    assert tied.area[0] == worst.area[0] == pytest.approx(0.5 + 0.5 * 0.5)
    assert tied.eleven_points[0] == worst.eleven_points[0]
    assert tied.curves[0].scores.tolist() == [0.9, 0.5]


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


def test_difficult_objects_count_for_nothing_in_vocs_numbers() -> None:
    true = objects((0, 0, 10, 10, 0), (50, 0, 60, 10, 0), difficult=[False, True])
    easy = (0.0, 0.0, 10.0, 10.0, 0.5, 0)
    hard = (50.0, 0.0, 60.0, 10.0, 0.9, 0)
    for found in (detections(easy), detections(hard, easy), detections(hard, hard, easy)):
        measured = scores({0: (found, true)})
        assert measured.objects == (1,)
        assert measured.voc.area[0] == measured.voc.eleven_points[0] == 1
        assert measured.errors.counts().sum() == 0
    assert scores({0: (detections(easy), true)}).coco.ap < 1


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


def test_false_detections_are_told_apart() -> None:
    true = objects((0, 0, 10, 10, 0), (100, 0, 110, 10, 1))
    found = detections(
        (0, 0, 10, 10, 0.9, 0),  # true
        (0, 0, 10, 9, 0.8, 0),  # a second one of it
        (0, 0, 10, 2, 0.7, 0),  # badly placed
        (100, 0, 110, 10, 0.6, 0),  # where an object of another class is
        (100, 0, 110, 0.9, 0.5, 0),  # hardly touches it
        (300, 0, 310, 10, 0.4, 0),
        (0, 0, 10, 10, 0.3, 1),
    )
    errors = scores({0: (found, true)}, 2).errors
    assert [FalsePositive(kind).name for kind in errors.kinds[0]] == [
        *2 * ["LOCALISATION"],
        "CLASS",
        *2 * ["BACKGROUND"],
    ]
    assert errors.counts(100).tolist() == [[2, 1, 2], [0, 1, 0]]
    assert errors.counts(3).tolist() == [[2, 1, 0], [0, 1, 0]]
    assert errors.counts().tolist() == [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(ValueError, match=r"^top=0: must be at least 1$"):
        errors.counts(0)


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
