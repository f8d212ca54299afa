"""Dividing a data set into training, validation and test samples: stratified, seeded, recorded by a digest."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.errors import DataError
from datamodules.randomness import IndexArray, permutation

TEST_FRACTION = 0.2
"""Share of the samples that is tested on where a data set comes without a test set."""


@dataclass(frozen=True, eq=False)
class Split:
    """The samples of each part, as ascending indices into the data set, `(n,)` each; no index is in two parts.

    Where a data set brings a single part for validation and test, its author decides which samples are in both.
    """

    train: IndexArray
    val: IndexArray
    test: IndexArray

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the three lists of indices, in hexadecimal."""
        content = hashlib.sha256()
        for part in (self.train, self.val, self.test):
            content.update(len(part).to_bytes(8, "little"))
            content.update(part.astype("<i8").tobytes())
        return content.hexdigest()


@dataclass(frozen=True, eq=False)
class Parts:
    """What a data set says about its division: `None` for a part that must be carved from `train`."""

    train: IndexArray
    val: IndexArray | None = None
    test: IndexArray | None = None


def stratified_split(
    labels: IndexArray,
    parts: Parts,
    *,
    val_fraction: float,
    seed: int,
    few_samples: int | None = None,
    class_names: Sequence[str],
) -> Split:
    """Divide a data set; each class keeps its share of every carved part.

    Args:
        labels: the class of each sample of the data set, `(N,)`.
        parts: what the data set brings along.
        val_fraction: share of the samples left for training (after the test samples) that validate, in (0, 1).
        seed: of what is carved; parts that come with the data set do not depend on it.
        few_samples: training samples to keep per class. The samples for n are among those for any larger n, and the
            validation and test samples do not depend on it.
        class_names: for the errors, `(K,)`.

    Raises:
        DataError: a class is too small for what is asked.
    """
    train, val, test = parts.train, parts.val, parts.test
    if test is None:
        train, test = _carve(labels, train, TEST_FRACTION, ("test", seed), class_names)
    if val is None:
        train, val = _carve(labels, train, val_fraction, ("val", seed), class_names)
    if few_samples is not None:
        groups = _shuffled_by_class(labels, train, ("few", seed), len(class_names))
        name, members = min(zip(class_names, groups, strict=True), key=lambda group: len(group[1]))
        if len(members) < few_samples:
            raise DataError(
                f"few_samples={few_samples}: class {name!r} has {len(members)} training samples; "
                f"at most {len(members)} can be asked of every class"
            )
        train = np.sort(np.concatenate([members[:few_samples] for members in groups]))
    return Split(train=train, val=val, test=test)


def _carve(
    labels: IndexArray, pool: IndexArray, fraction: float, key: tuple[str | int, ...], class_names: Sequence[str]
) -> tuple[IndexArray, IndexArray]:
    """Return what stays of `pool` and the `fraction` of each class that is taken out; at least one sample of each."""
    stay, out = [], []
    for name, members in zip(class_names, _shuffled_by_class(labels, pool, key, len(class_names)), strict=True):
        if len(members) < 2:  # noqa: PLR2004 - one to stay, one to be taken out
            raise DataError(
                f"class {name!r} has {len(members)} sample(s) left to divide between training and {key[0]}; "
                "at least 2 are needed"
            )
        taken = min(max(round(fraction * len(members)), 1), len(members) - 1)
        out.append(members[:taken])
        stay.append(members[taken:])
    return np.sort(np.concatenate(stay)), np.sort(np.concatenate(out))


def _shuffled_by_class(
    labels: IndexArray, pool: IndexArray, key: tuple[str | int, ...], num_classes: int
) -> list[IndexArray]:
    shuffled = pool[permutation(len(pool), *key)]
    grouped = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels[pool], minlength=num_classes)
    return np.split(grouped, np.cumsum(counts)[:-1])
