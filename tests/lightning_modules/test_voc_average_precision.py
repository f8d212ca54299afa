"""VOC's average precision is that of worked examples."""

import pytest

from tests.lightning_modules.detection_cases import Case, detections, objects, scores

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
