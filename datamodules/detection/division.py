"""Dividing pictures with objects into training, validation and test pictures."""

import numpy as np

from datamodules.detection.pictures import AnnotatedPictures
from datamodules.errors import DataError
from datamodules.splits import Split, stratified_split


def divided(data: AnnotatedPictures, *, val_fraction: float, few_samples: int | None, seed: int) -> Split:
    """Divide a data set; its pictures are one stratum, for a picture of many classes belongs to none.

    Args:
        data: with the parts that it brings along.
        val_fraction: share of the training pictures that validates, where the data set brings none along, in (0, 1).
        few_samples: training pictures to keep; those for n are among those for any larger n.
        seed: of what is carved; parts that come with the data set do not depend on it.

    Raises:
        DataError: there are too few pictures for what is asked.
    """
    one = np.zeros(len(data.objects), dtype=np.int64)
    whole = stratified_split(one, data.parts, val_fraction=val_fraction, seed=seed, class_names=("pictures",))
    if few_samples is None:
        return whole
    if few_samples > len(whole.train):
        raise DataError(f"few_samples={few_samples}: there are {len(whole.train)} training pictures")
    return stratified_split(
        one, data.parts, val_fraction=val_fraction, seed=seed, few_samples=few_samples, class_names=("pictures",)
    )
