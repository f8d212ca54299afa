"""Numbers of a benchmark's command line: as they are given, or one line that says what may be given."""

import pytest

from experiments.benchmarks.counts import counts_of
from experiments.errors import UserError

DEFAULTS = {"pairs": 3, "size": 64}


def test_what_is_not_given_is_the_default() -> None:
    assert counts_of(["size=8"], DEFAULTS) == [3, 8]


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("pairs=0", "pairs=0: must be a whole number of at least 1"),
        ("pairs=x", "pairs=x: must be a whole number of at least 1"),
        ("pears=2", "pears=2: unknown key; allowed: pairs, size"),
    ],
)
def test_what_cannot_be_is_one_line(argument: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        counts_of([argument], DEFAULTS)
    assert str(error.value) == said
