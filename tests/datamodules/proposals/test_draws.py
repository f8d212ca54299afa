"""Random fractions of a key, and what is not imported before it is needed."""

import subprocess
import sys

import numpy as np

from datamodules.proposals.draws import Draws


def test_a_row_depends_on_its_key_alone() -> None:
    row = Draws("a", 1).next(10)
    again = Draws("a", 1)
    assert np.array_equal(np.concatenate([again.next(3), again.next(7)]), row)
    for other in (Draws("a", 2), Draws("b", 1), Draws("a")):
        assert not np.isin(other.next(10), row).any()


def test_fractions_are_even_from_0_to_just_below_1() -> None:
    row = Draws("even").next(100_000)
    assert row.min() >= 0
    assert row.max() < 1
    counts = np.histogram(row, bins=10, range=(0, 1))[0]
    assert abs(counts - 10_000).max() < 400


def test_scikit_image_is_imported_by_a_search_only() -> None:
    script = "import sys, datamodules.proposals.cache; print(sorted({'skimage', 'scipy', 'torch'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert said == "[]\n"
