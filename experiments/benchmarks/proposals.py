"""How many objects region proposals find, and what they cost.

python -m experiments.benchmarks.proposals [scenes=60] [size=96] [data_dir=FOLDER] [photographs=20] [side=500]
    [out=docs/pictures]

Selective search, fast and quality, against sliding windows and jittered boxes of the objects, on drawn scenes of up to
four things that overlap and, where `data_dir` holds `coco_mini/`, on the photographs of its validation split. On every
picture all kinds are made in turn, in one process; what is counted is processor time. Writes `proposals.png`, recall
against the number of proposals, and `proposals_scene.png`, some of them on one scene.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.pictures import Picture, read_picture
from datamodules.proposals.boxes import Boxes
from datamodules.proposals.jittered import jittered_boxes
from datamodules.proposals.recall import Overlaps, best_overlaps, mean_average_best_overlap, recall
from datamodules.proposals.selective_search import SelectiveSearch
from datamodules.proposals.sliding_windows import sliding_windows
from datamodules.scenes.annotation import annotate
from datamodules.scenes.composing import Scenes
from datamodules.scenes.difficulty import Difficulty
from experiments.arguments import split_arguments
from experiments.benchmarks.counts import whole
from experiments.benchmarks.proposals_drawing import THRESHOLDS, draw_proposals, draw_recall
from experiments.errors import UserError
from experiments.runs.plotting import write_png

CROWDED = Scenes("shape", Difficulty(things=(1, 4), size=(0.2, 0.45), visible=0.5), split="test")
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
PRINTED = (50, 100, 200, 500, 1000, 2000)
SHOWN = 100  # proposals of a kind on one scene
KEYS = {"scenes": "60", "size": "96", "data_dir": None, "photographs": "20", "side": "500", "out": "docs/pictures"}
COCO = "coco_mini"


class Example(NamedTuple):
    """A picture `(H, W, 3)` and its M objects: boxes `(M, 4)`, classes `(M,)`."""

    picture: Picture
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]

    @property
    def height(self) -> int:
        """Of the picture, in pixels."""
        return int(self.picture.shape[0])

    @property
    def width(self) -> int:
        """Of the picture, in pixels."""
        return int(self.picture.shape[1])


class Found(NamedTuple):
    """What one kind of proposals found: overlaps `(K, M)` with all objects, boxes and milliseconds of each picture."""

    overlaps: Overlaps
    boxes: list[int]
    milliseconds: list[float]


# From an example, its index and a number of boxes to boxes.
Proposer = Callable[[Example, int, int], Boxes]


def proposers(side: int) -> dict[str, Proposer]:
    """Return what is compared, by name; selective search shrinks pictures to `side` pixels."""
    fast, quality = (SelectiveSearch(mode, side=side) for mode in ("fast", "quality"))
    return {
        "selective search, fast": lambda example, _, count: fast.boxes(example.picture)[:count],
        "selective search, quality": lambda example, _, count: quality.boxes(example.picture)[:count],
        "sliding windows": lambda example, _, count: sliding_windows(example.height, example.width, count),
        "jittered objects": lambda example, index, count: jittered_boxes(
            example.boxes, example.height, example.width, count, seed=0, index=index
        ),
    }


def compare(kinds: dict[str, Proposer], examples: Sequence[Example], counts: Sequence[int]) -> dict[str, Found]:
    """Make proposals of every kind for each example, in turn.

    Windows are made anew for each of the K `counts`, for few are not the first of many.
    """
    overlaps: dict[str, list[Overlaps]] = {kind: [] for kind in kinds}
    found = {kind: Found(np.empty(0), [], []) for kind in kinds}
    for index, example in enumerate(examples):
        for kind, propose in kinds.items():
            began = time.process_time()
            boxes = propose(example, index, max(counts))
            found[kind].milliseconds.append(1e3 * (time.process_time() - began))
            found[kind].boxes.append(len(boxes))
            if kind == "sliding windows":
                each = [best_overlaps(propose(example, index, count), example.boxes, [count]) for count in counts]
                overlaps[kind].append(np.concatenate(each))
            else:
                overlaps[kind].append(best_overlaps(boxes, example.boxes, counts))
    return {kind: one._replace(overlaps=np.concatenate(overlaps[kind], axis=1)) for kind, one in found.items()}


def drawn(count: int, size: int) -> list[Example]:
    """Return the first scenes of the test split at `size` pixels a side."""
    scenes = (annotate(CROWDED, index, size) for index in range(count))
    return [Example(np.ascontiguousarray(one.picture.transpose(1, 2, 0)), one.boxes, one.classes) for one in scenes]


def photographs(folder: Path, count: int) -> Iterator[Example]:
    """Return the first photographs of COCO's validation split, with their objects but for crowds.

    Raises:
        DataError: a photograph cannot be read.
    """
    listed = json.loads((folder / "annotations" / "instances_val2017.json").read_text(encoding="utf-8"))
    for image in listed["images"][:count]:
        objects = [one for one in listed["annotations"] if one["image_id"] == image["id"] and not one["iscrowd"]]
        corners = np.array([one["bbox"] for one in objects], dtype=np.float64).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        # Some reach a fraction of a pixel beyond the border.
        inside = np.clip(corners, 0, [image["width"], image["height"]] * 2).astype(np.float32)
        classes = np.array([one["category_id"] for one in objects], dtype=np.int64)
        yield Example(read_picture(folder / "val2017" / image["file_name"]), inside, classes)


def table(found: dict[str, Found], classes: NDArray[np.int64], counts: Sequence[int]) -> str:
    """Return recall at both thresholds for each of `PRINTED`, as Markdown."""
    rows = [
        f"| proposals | boxes | ms | {' | '.join(f'@{count:,}' for count in PRINTED)} | MABO@{PRINTED[-1]:,} |",
        f"|---|---|---|{'---|' * len(PRINTED)}---|",
    ]
    for kind, one in found.items():
        half, most = (recall(one.overlaps, threshold) for threshold in THRESHOLDS)
        shown = [f"{half[at]:.2f} / {most[at]:.2f}" for at in map(counts.index, PRINTED)]
        mabo = mean_average_best_overlap(one.overlaps, classes)[counts.index(PRINTED[-1])]
        milliseconds = f"{statistics.median(one.milliseconds):,.1f}"
        rows.append(
            f"| {kind} | {statistics.median(one.boxes):,.0f} | {milliseconds} | {' | '.join(shown)} | {mabo:.3f} |"
        )
    return "\n".join(rows)


def data_sets(keys: dict[str, str | None]) -> Iterator[tuple[str, list[Example]]]:
    """Return what is asked for by name; print why what is missing is left out."""
    size = whole("size", str(keys["size"]))
    yield f"scenes of {size} px", drawn(whole("scenes", str(keys["scenes"])), size)
    count = whole("photographs", str(keys["photographs"]))
    folder = None if keys["data_dir"] is None else Path(keys["data_dir"]) / COCO
    if folder is not None and (folder / "val2017").is_dir():
        yield "COCO photographs", list(photographs(folder, count))
    else:
        print(f"photographs: left out, {'no data_dir is given' if folder is None else f'{folder} has no val2017'}")


def main(argv: Sequence[str]) -> int:
    """Measure, print the tables, write the figures.

    Raises:
        UserError: an unknown key, or a number that is none.
    """
    keys, others = split_arguments(argv, KEYS)
    if others:
        raise UserError(f"{others[0]}: unknown key; allowed: {', '.join(keys)}")
    kinds, out = proposers(whole("side", str(keys["side"]))), Path(str(keys["out"]))
    kinds["selective search, fast"](drawn(1, 16)[0], 0, 1)  # what scikit-image's import takes is not counted
    curves, scene = {}, None
    for name, examples in data_sets(keys):
        scene = scene or examples[min(2, len(examples) - 1)]
        found = compare(kinds, examples, COUNTS)
        curves[name] = {kind: one.overlaps for kind, one in found.items()}
        classes = np.concatenate([example.classes for example in examples])
        print(f"\n{name}: {len(examples)} pictures, {len(classes)} objects; recall at IoU 0.5 / 0.7 with n boxes\n")
        print(table(found, classes, COUNTS), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    write_png(draw_recall(curves, COUNTS), out / "proposals.png")
    if scene:
        boxes = {kind: propose(scene, 0, SHOWN) for kind, propose in kinds.items()}
        write_png(draw_proposals(scene.picture, boxes, scene.boxes), out / "proposals_scene.png")
    print(f"\n{out / 'proposals.png'}\n{out / 'proposals_scene.png'}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
