"""scikit-learn's handwritten digits: 1,797 grey pictures of 8 px in ten classes; nothing to download.

From the Optical Recognition of Handwritten Digits data set (Alpaydin & Kaynak 1998, UCI).
"""

import importlib

import numpy as np

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
        # Half a second to import, which other data sets need not spend.
        bunch = importlib.import_module("sklearn.datasets").load_digits()
        pictures = np.rint(bunch.images * (255 / WHITE)).astype(np.uint8)
        return LabelledPictures.in_memory(
            pictures[:, None],
            bunch.target.astype(np.int64),
            class_names=[str(digit) for digit in bunch.target_names],
            parts=Parts(train=np.arange(len(pictures))),
            image_size=self.image_size,
        )
