"""Numbers as people say them."""

import pytest

from experiments.studies.wording import duration, megabytes


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 seconds"),
        (1.2, "1 second"),
        (59.4, "59 seconds"),
        (60.0, "1.0 minutes"),
        (102.0, "1.7 minutes"),
        (47 * 60.0, "47 minutes"),
        (119 * 60.0, "119 minutes"),
        (126 * 60.0, "2.1 hours"),
    ],
)
def test_times(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_bytes() -> None:
    assert [megabytes(count) for count in (4e5, 38.4e6, 1.24e9)] == ["0 MB", "38 MB", "1.2 GB"]
