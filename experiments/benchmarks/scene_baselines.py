"""What can be said of drawn scenes without seeing a shape: baselines that no network may be praised for beating.

python -m experiments.benchmarks.scene_baselines [presets=scenes,scenes_relation,…] [KEY=VALUE …]

Keys are those of `whydeep train`. For each preset (an option of `datamodule`) the top-1 error in percent on its test
scenes, after its training scenes; what a baseline can be set to is chosen on its validation scenes:

  chance     one class for all
  histogram  logistic regression on the colour histogram, 4 × 4 × 4 bins
  linear     linear regression of the classes on the pixels (ridge)
  k-NN       the nearest training pictures, by their pixels
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datamodules.classification import ClassificationDataModule
from experiments.arguments import split_arguments
from experiments.benchmarks.scene_presets import labelled_presets
from experiments.errors import UserError
from experiments.runs.build import build_datamodule
from experiments.runs.chatter import quiet
from experiments.runs.configuration import compose

BINS = 4


class Part(NamedTuple):
    """One split: pictures uint8 `(N, 3, S, S)`, classes int64 `(N,)`."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]


Features = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def pixels(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the pixels of each picture as one row, 0 black to 1 white: `(N, 3 S S)`."""
    return np.divide(pictures.reshape(len(pictures), -1), 255, dtype=np.float32)


def histogram(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the share of each picture's pixels in each cell of the colour cube: `(N, BINS³)`."""
    cells = (pictures.astype(np.int64) * BINS) >> 8
    codes = ((cells[:, 0] * BINS + cells[:, 1]) * BINS + cells[:, 2]).reshape(len(pictures), -1)
    counts = np.stack([np.bincount(row, minlength=BINS**3) for row in codes])
    return np.asarray(counts / codes.shape[1], dtype=np.float32)


BASELINES: dict[str, tuple[Features, Callable[[float], Any], tuple[float, ...]]] = {
    "histogram": (
        histogram,
        lambda strength: make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300)),
        (0.001, 0.01, 0.1, 1.0),
    ),
    "linear": (pixels, RidgeClassifier, (1e2, 1e3, 1e4, 1e5)),
    "k-NN": (pixels, lambda neighbours: KNeighborsClassifier(int(neighbours)), (1, 5, 15, 45)),
}


def wrong(name: str, train: Part, val: Part, test: Part) -> int:
    """Return how many test scenes the baseline gets wrong, as set for the fewest errors in validation."""
    features, model, settings = BASELINES[name]
    trained, validated = features(train.pictures), features(val.pictures)
    fitted = [model(setting).fit(trained, train.labels) for setting in settings]
    best = min(fitted, key=lambda each: int((each.predict(validated) != val.labels).sum()))
    return int((best.predict(features(test.pictures)) != test.labels).sum())


def parts(data: ClassificationDataModule) -> list[Part]:
    """Return training, validation and test split."""
    split = data.split
    return [
        Part(data.augmented(rows.tolist(), 0)[0].numpy(), data.labels[rows])
        for rows in (split.train, split.val, split.test)
    ]


def line(preset: str, overrides: Sequence[str]) -> str:
    """Return one preset's row of the table.

    Raises:
        UserError: the data cannot be had as asked.
    """
    data = build_datamodule(compose([f"datamodule={preset}", *overrides]))
    train, val, test = parts(data)
    chance = 100 - 100 / data.spec.num_classes
    cells = [f"{chance:.1f}"]
    for name in BASELINES:
        errors = wrong(name, train, val, test)
        interval = binomtest(errors, len(test.labels)).proportion_ci(method="wilson")
        cells.append(f"{100 * errors / len(test.labels):.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]")
    counts = " + ".join(str(len(part.labels)) for part in (train, val, test))
    return f"| {' | '.join([preset, counts, *cells])} |"


def table(presets: Iterable[str], overrides: Sequence[str]) -> Iterable[str]:
    """Yield the lines of the table, in Markdown."""
    yield f"| {' | '.join(['preset', 'scenes: train + val + test', 'chance', *BASELINES])} |"
    yield "|" + "---|" * (len(BASELINES) + 3)
    for preset in presets:
        yield line(preset, overrides)


def main(argv: Sequence[str]) -> int:
    """Print the table.

    Raises:
        UserError: a preset that there is not, or keys that cannot be.
    """
    known = labelled_presets()
    keys, overrides = split_arguments(argv, {"presets": ",".join(known)})
    presets = str(keys["presets"]).split(",")
    for preset in presets:
        if preset not in known:
            raise UserError(f"presets={preset}: must be some of {', '.join(known)}, with commas between them")
    for text in table(presets, overrides):
        print(text, flush=True)
    return 0


if __name__ == "__main__":
    quiet()
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
