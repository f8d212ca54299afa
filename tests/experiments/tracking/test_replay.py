"""What a resumed run says again."""

import math

import pytest

from experiments.tracking.records import Metrics
from experiments.tracking.replay import Replay


@pytest.fixture
def replay() -> Replay:
    replay = Replay()
    for step in (0, 1, 2, 1, 2, 3):  # an earlier resume went back to step 1
        replay.remember(Metrics(100.0 + step, step, {"loss": step / 3, "time/step": 5.0 + step}))
    replay.remember(Metrics(200.0, 4, {"loss": math.nan}))
    replay.prepare()
    return replay


def test_what_is_known_is_no_news(replay: Replay) -> None:
    assert replay.news(2, {"loss": 2 / 3}) == {}
    assert replay.news(4, {"loss": math.nan}) == {}
    assert replay.first_difference is None


def test_new_steps_and_new_names_are_news(replay: Replay) -> None:
    assert replay.news(5, {"loss": 1.0}) == {"loss": 1.0}
    assert replay.news(2, {"loss": 2 / 3, "other": 1.0}) == {"other": 1.0}
    assert replay.first_difference is None


def test_a_different_value_is_news_and_the_first_one_is_named(replay: Replay) -> None:
    assert replay.news(3, {"loss": 7.0}) == {"loss": 7.0}
    assert replay.news(4, {"loss": 8.0}) == {"loss": 8.0}
    assert replay.first_difference == "loss at step 3: 1.0, then 7.0"


def test_of_durations_the_first_one_stands(replay: Replay) -> None:
    assert replay.news(3, {"time/step": 99.0}) == {}
    assert replay.news(9, {"time/step": 99.0}) == {"time/step": 99.0}
    assert replay.first_difference is None
