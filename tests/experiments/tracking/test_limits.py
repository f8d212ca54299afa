"""Names and values that MLflow would refuse or cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from experiments.tracking.limits import KEY_CHARACTERS, PARAM_CHARACTERS, cut, sent_name


@pytest.mark.parametrize("name", ["val/top1_error", "a:b", "loss 0", "optimizer.lr", "über/größe-1"])
def test_names_that_mlflow_takes_are_untouched(name: str) -> None:
    assert sent_name(name) == name


@given(st.text(min_size=0, max_size=300))
def test_whatever_the_name_mlflow_takes_what_is_sent(name: str) -> None:
    sent = sent_name(name)

    _validate_metric_name(sent)  # type: ignore[no-untyped-call]
    assert len(sent) <= KEY_CHARACTERS


def test_names_that_would_become_equal_stay_apart() -> None:
    assert sent_name("test/cat (big)") != sent_name("test/cat [big]")
    assert sent_name("x" * 300 + "a") != sent_name("x" * 300 + "b")
    assert sent_name("val/acc@1").startswith("val/acc_1_")


def test_a_long_value_says_that_it_is_cut_and_where_it_is_whole() -> None:
    assert cut("x" * PARAM_CHARACTERS, PARAM_CHARACTERS, "there") == "x" * PARAM_CHARACTERS
    short = cut("x" * 7001, PARAM_CHARACTERS, "there.txt")
    assert len(short) == PARAM_CHARACTERS
    assert short.endswith("x [cut: all 7001 characters are in the artifact there.txt]")
