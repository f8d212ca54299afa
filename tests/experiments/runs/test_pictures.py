"""The pictures of a run say what they should, at every size, and are drawn without pyplot."""

import io
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from experiments.runs import pictures
from experiments.runs.plotting import COLOURS, DOTS_PER_INCH, RIGHT, WRONG, displayable, mosaic, thousands, write_png

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def rendered(figure: Figure) -> Pixels:
    """Return the picture `(H, W, 3)` as it is saved, drawn to the end: missing glyphs and the like are errors."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=60)
    width, height = (figure.get_size_inches() * 60).astype(int)
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8).reshape(height, width, 4)[..., :3]


def words(figure: Figure) -> str:
    """Return all text of a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def heights(axes: Axes, line: int) -> Floats:
    """Return the y values of one line."""
    return np.asarray(axes.lines[line].get_ydata(), dtype=np.float64)


def metrics(epochs: int, *, steps: bool = True) -> pd.DataFrame:
    rows = [("train/step_loss", step, 2.0 / (step + 1)) for step in range(10 * epochs)] if steps else []
    for epoch in range(epochs):
        at = 10 * (epoch + 1)
        rows += [("train/loss", at, 2.0 / at), ("val/loss", at, 3.0 / at)]
        rows += [("train/top1_error", at, 50.0 / at), ("val/top1_error", at, 60.0 / at)]
    return pd.DataFrame(rows, columns=["key", "step", "value"])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("epochs", [0, 1, 30])
def test_learning_curves_draw_however_much_was_recorded(epochs: int) -> None:
    figure = pictures.learning_curves(metrics(epochs))
    loss, error = figure.axes
    assert rendered(figure).std() > 0
    if epochs:
        assert [len(heights(loss, line)) for line in range(3)] == [10 * epochs, epochs, epochs]
        np.testing.assert_allclose(heights(error, 1), 60.0 / (10 * np.arange(1, epochs + 1)))
        assert f"val (last {60 / (10 * epochs):.3g})" in words(figure)
    else:
        assert words(figure).count("nothing recorded") == 2


def test_learning_curves_leave_out_what_is_no_number_and_take_the_last_value_of_a_step() -> None:
    table = metrics(2, steps=False)
    more = pd.DataFrame({"key": "val/loss", "step": [20, 10], "value": [np.nan, 7.0]})
    figure = pictures.learning_curves(pd.concat([table, more]))
    np.testing.assert_allclose(heights(figure.axes[0], 1), np.array([7.0, 3.0 / 20]))


def test_confusion_matrix_is_in_percent_of_each_true_class() -> None:
    counts = np.array([[3, 1, 0], [0, 0, 0], [100, 0, 0]])
    figure = pictures.confusion_matrix(counts, ["cat", "dog", "eel"])
    shares: np.ma.MaskedArray[tuple[int, ...], np.dtype[np.float64]] = np.ma.masked_invalid(
        np.ma.asarray(figure.axes[0].images[0].get_array())
    )
    np.testing.assert_allclose(shares[0], [75.0, 25.0, 0.0])
    np.testing.assert_allclose(shares[2], [100.0, 0.0, 0.0])
    assert shares.mask.tolist() == [[False] * 3, [True] * 3, [False] * 3]
    told = words(figure)
    assert "top-1 error 97.12 % of 104 samples" in told
    assert "eel → cat (100 %), cat → dog (25 %)" in told.replace("\n", " ")
    assert {"75", "25"} <= set(told.split())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("number", "written"), [(2, True), (20, True), (21, False), (100, False), (1000, False)])
def test_confusion_matrix_has_numbers_up_to_twenty_classes_and_names_as_far_as_they_fit(
    number: int, *, written: bool
) -> None:
    counts = np.diag(np.full(number, 9)) + np.eye(number, k=1, dtype=int)
    figure = pictures.confusion_matrix(counts, [f"class {index}" for index in range(number)])
    axes = figure.axes[0]
    assert ("90" in [text.get_text() for text in axes.texts]) is written
    assert len(axes.get_xticks()) == min(number, 100)
    width, height = figure.get_size_inches()
    assert width < 20
    assert height < 20
    names = [label.get_window_extent() for label in axes.get_yticklabels()] if rendered(figure).size else []
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(names)), "names overlap"


def test_confusion_matrix_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"must be \(3, 3\) for 3 class names"):
        pictures.confusion_matrix(np.eye(2, dtype=int), ["a", "b", "c"])


def test_contact_sheet_keeps_samples_in_columns_and_draws_in_rows() -> None:
    original = np.arange(2, dtype=np.uint8)[:, None, None, None] * np.full((2, 1, 64, 64), 100, np.uint8)
    augmented = np.stack([original + 50, original + 150])
    figure = pictures.contact_sheet(original, augmented)
    axes = figure.axes[0]
    sheet = np.asarray(axes.images[0].get_array())[..., 0] * 255
    middles = axes.get_yticks().astype(int)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["original", "epoch 0", "epoch 1"]
    columns = [sheet.shape[1] // 4, 3 * sheet.shape[1] // 4]
    np.testing.assert_allclose(sheet[np.ix_(middles, columns)], [[0, 100], [50, 150], [150, 250]], atol=1e-9)


def test_predictions_mark_right_and_wrong_by_sign_frame_and_colour() -> None:
    images = np.zeros((3, 1, 8, 8), dtype=np.uint8)
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    axes = pictures.prediction_sheet(images, np.array([0, 0, 0]), probabilities, ["cat", "dog"]).axes[0]
    assert [text.get_text().strip() for text in axes.texts] == ["✓ cat (90 %)", "✗ dog (80 %)\nis cat", "✓ cat (60 %)"]
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert frames[1].get_linewidth() > 2 * frames[0].get_linewidth()
    assert frames[0].get_edgecolor() != frames[1].get_edgecolor()
    assert RIGHT != WRONG
    places = [image.get_extent() for image in axes.images]
    assert [frame.get_x() for frame in frames] == [left for left, *_ in places], "each frame is around its picture"


def test_predictions_fill_rows_of_eight_and_nothing_overlaps() -> None:
    images = np.zeros((11, 3, 10, 20), np.uint8)
    certain = np.tile([1.0, 0.0], (11, 1))
    figure = pictures.prediction_sheet(
        images, np.arange(11) % 2, certain, ["automobile and lorry", "a very long class name"]
    )
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [image.get_window_extent() for image in axes.images] + [text.get_window_extent() for text in axes.texts]
    assert len({round(box.y0) for box in boxes[:11]}) == 2
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert {round(box.width / box.height, 1) for box in boxes[:11]} == {2.0}


def test_predictions_without_labels_claim_nothing() -> None:
    figure = pictures.prediction_sheet(np.zeros((1, 3, 8, 8), np.uint8), None, np.array([[0.3, 0.7]]), ["cat", "dog"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["dog (70 %)"]


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 4)])
def test_annotated_picture_takes_grey_colour_and_transparency(shape: tuple[int, ...]) -> None:
    figure = pictures.annotated_picture(np.full(shape, 51, np.uint8), [("temple", 0.75), ("x" * 60, 0.25)])
    shown = np.asarray(figure.axes[0].images[0].get_array())
    assert shown.shape == (20, 30, 3)
    np.testing.assert_allclose(shown, 0.2)
    assert "temple  75.0 %" in words(figure)
    assert [round(bar.get_width(), 6) for bar in figure.axes[1].patches] == [75.0, 25.0]  # type: ignore[attr-defined]
    assert max(map(len, words(figure).splitlines())) <= 40


def test_two_lines_differ_in_grey() -> None:
    figure = pictures.learning_curves(metrics(50, steps=False))
    train, val = figure.axes[0].lines
    assert train.get_linestyle() != val.get_linestyle()
    assert [train.get_color(), val.get_color()] == list(COLOURS[:2])


def test_mosaic_and_displayable_place_every_pixel() -> None:
    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * np.full((3, 1, 2, 2), 51, np.uint8)
    sheet = mosaic(displayable(images), columns=2, gap=1)
    assert sheet.shape == (5, 5, 3)
    np.testing.assert_allclose(sheet[[0, 0, 3], [0, 3, 0], 0], [0.0, 0.2, 0.4])
    np.testing.assert_allclose(sheet[2], 1.0)
    np.testing.assert_allclose(sheet[4, 4], 1.0)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (7, "7"),
        (999, "999"),
        (1000, "1.00 k"),
        (56_938, "56.9 k"),
        (999_960, "1.00 M"),
        (1.5e9, "1.50 G"),
        (3e11, "300 G"),
    ],
)
def test_counts_are_said_with_three_digits(value: float, said: str) -> None:
    assert thousands(value) == said


def test_pictures_neither_load_pyplot_nor_change_the_settings() -> None:
    program = (
        "import sys, matplotlib, numpy as np\n"
        "from experiments.runs import pictures\n"
        "pictures.contact_sheet(np.ones((2, 1, 3, 3)), np.ones((1, 2, 1, 3, 3))).savefig('/dev/null', format='png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams == matplotlib.rcParamsDefault | {'backend': matplotlib.rcParams['backend']}\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_written_picture_is_the_one_that_matplotlib_saves(tmp_path: Path) -> None:
    metrics = pd.DataFrame({"key": "train/loss", "step": range(5), "value": [3.0, 1.0, 0.5, 0.2, 0.1]})
    counts = np.random.default_rng(0).integers(1, 90, (10, 10))
    names = [f"class {k}" for k in range(10)]
    pairs = (
        (pictures.learning_curves(metrics), pictures.learning_curves(metrics)),
        (pictures.confusion_matrix(counts, names), pictures.confusion_matrix(counts, names)),
    )
    for figure, same in pairs:
        write_png(figure, tmp_path / "once.png")
        same.savefig(tmp_path / "twice.png", dpi=DOTS_PER_INCH)
        with Image.open(tmp_path / "once.png") as once, Image.open(tmp_path / "twice.png") as twice:
            assert once.info["dpi"] == twice.info["dpi"]
            np.testing.assert_array_equal(np.asarray(once), np.asarray(twice))
