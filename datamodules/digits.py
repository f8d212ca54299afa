"""scikit-learn's handwritten digits: 1,797 grey pictures of 8 px in ten classes; nothing to download.

From the Optical Recognition of Handwritten Digits data set (Alpaydin & Kaynak 1998, UCI).
"""

import importlib
from functools import cache

import numpy as np
import numpy.typing as npt

from datamodules.classification import ClassificationDataModule, LabelledPictures
from datamodules.splits import Parts

WHITE = 16


class DigitsDataModule(ClassificationDataModule):
    """Handwritten digits, light on dark, `(N, 1, H, W)`.

    Enlarged from 8 to `image_size` pixels, so that networks made for larger pictures fit; `image_size=8` gives the
    originals. A fifth of the pictures tests and `val_fraction` of the others validates, both carved by `seed`.
    """

    name = "digits"
    channels = 1

    def load(self) -> LabelledPictures:
        """Take the pictures from the installed scikit-learn."""
        pictures, labels, class_names = _originals()
        return LabelledPictures.in_memory(
            pictures,
            labels,
            class_names=class_names,
            parts=Parts(train=np.arange(len(pictures))),
            image_size=self.image_size,
        )


# Read from text, which a process that executes many runs need not do again.
@cache
def _originals() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], list[str]]:
    """Return the pictures `(N, 1, 8, 8)`, their labels `(N,)` and the names of the classes."""
    # Half a second to import, which other data sets need not spend.
    bunch = importlib.import_module("sklearn.datasets").load_digits()
    pictures = np.rint(bunch.images * (255 / WHITE)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    for shared in (pictures, labels):
        shared.flags.writeable = False
    return pictures, labels, [str(digit) for digit in bunch.target_names]
