"""Contact sheets of drawn scenes, for docs/scenes.md.

python -m experiments.benchmarks.scene_pictures [out=docs/pictures] [columns=8]

Writes `scenes.png`, `scenes_relation.png` … : for each preset a row of training scenes above one of test scenes,
classes in turn, as a network gets them, enlarged; and `scenes_annotation.png`: one scene with its boxes, the classes of
its pixels and its captions.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from datamodules.scenes.annotation import PIXEL_CLASSES, AnnotatedScene, annotate
from datamodules.scenes.composing import Scenes
from datamodules.scenes.datamodule import ScenesDataModule
from datamodules.scenes.difficulty import Difficulty
from experiments.arguments import split_arguments
from experiments.benchmarks.counts import whole
from experiments.benchmarks.scene_presets import labelled_presets
from experiments.errors import UserError
from experiments.runs.configuration import compose, plain

GAP = 4  # pixels between training and test scenes
SHOWN = 96  # pixels of one scene, about
CROWDED = Difficulty(things=(4, 4), size=(0.3, 0.45), visible=0.6, contrast=(0.1, 0.2))


def sheet(scenes: dict[str, Scenes], columns: int, size: int) -> NDArray[np.uint8]:
    """Return training scenes above test scenes, uint8 `(H, W, 3)`."""
    blocks = []
    for split in ("train", "test"):
        pictures = [scenes[split].drawn(index, size)[1].picture for index in range(columns)]
        blocks.append(np.concatenate(pictures, axis=2))
    times = max(SHOWN // size, 1)
    train, test = (np.kron(block, np.ones((1, times, times), dtype=np.uint8)) for block in blocks)
    gap = np.full((3, GAP, train.shape[2]), 255, dtype=np.uint8)
    return np.concatenate([train, gap, test], axis=1).transpose(1, 2, 0)


def annotation_figure(one: AnnotatedScene) -> Figure:
    """Draw a scene with its boxes, beside its pixels' classes, above its captions."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.imshow(one.picture.transpose(1, 2, 0))
    for (x1, y1, x2, y2), kind in zip(one.boxes, one.classes, strict=True):
        left.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor="white"))
        left.text(x1, y1 - 2, PIXEL_CLASSES[kind], color="white", fontsize=8)
    right.imshow(one.pixels, cmap=colormaps["tab10"], vmin=0, vmax=len(PIXEL_CLASSES), interpolation="nearest")
    for axes, title in ((left, "boxes and their classes"), (right, "class of each pixel")):
        axes.set_axis_off()
        axes.set_title(title, fontsize=9)
    figure.supxlabel("\n".join(one.captions), fontsize=8)
    return figure


def main(argv: Sequence[str]) -> int:
    """Write the sheets and print where they are.

    Raises:
        UserError: an unknown key, or a number that is none.
    """
    keys, others = split_arguments(argv, {"out": "docs/pictures", "columns": "8"})
    if others:
        raise UserError(f"{others[0]}: unknown key; allowed: {', '.join(keys)}")
    out, columns = Path(str(keys["out"])), whole("columns", str(keys["columns"]))
    out.mkdir(parents=True, exist_ok=True)
    for preset in labelled_presets():
        settings = plain(compose([f"datamodule={preset}"]))["datamodule"]
        del settings["_target_"]
        data = ScenesDataModule(**settings)
        picture = Image.fromarray(sheet(data.scenes, columns, data.image_size))
        picture.save(out / f"{preset}.png", optimize=True)
        print(out / f"{preset}.png")
    figure = annotation_figure(annotate(Scenes("shape", CROWDED), 2, 96))
    figure.savefig(out / "scenes_annotation.png", dpi=100)
    print(out / "scenes_annotation.png")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
