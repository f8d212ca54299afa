"""Overrides read apart: sign, key, value."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments.runs.overrides import Override, first_double, is_override, override_key, read_override

WHOLE = [
    ("model=x", Override("", "model", "x")),
    ("+model=x", Override("+", "model", "x")),
    ("++trainer.max_epochs=3", Override("++", "trainer.max_epochs", "3")),
    ("~model", Override("~", "model", None)),
    ("~model=x", Override("~", "model", "x")),
    ("hydra/launcher=ray", Override("", "hydra/launcher", "ray")),
    ("optimizer@other=sgd", Override("", "optimizer@other", "sgd")),
    ("data_dir='a=b'", Override("", "data_dir", "'a=b'")),
    ("model.weights=", Override("", "model.weights", "")),
]


@pytest.mark.parametrize(("text", "read"), WHOLE)
def test_an_override_is_read_apart_as_hydra_does(text: str, read: Override) -> None:
    assert read_override(text) == read
    assert is_override(text)
    hydras = OverridesParser.create().parse_override(text)
    package = f"@{hydras.package}" if hydras.package else ""
    assert override_key(text) == read.key == hydras.key_or_group + package


@pytest.mark.parametrize("text", ["model", "+model", "--verbose=1", "-m", "=3", "+=3", "~", "", "stacked_filters"])
def test_names_flags_and_halves_are_no_overrides(text: str) -> None:
    assert not is_override(text)


def test_what_cannot_be_read_is_called_by_what_stands_before_the_sign_of_equality() -> None:
    assert override_key("--verbose=1") == "--verbose"
    assert override_key("model = x") == "model"


def test_a_key_is_the_same_under_every_sign() -> None:
    assert first_double(["a=1", "b=1", "~a"]) == "~a"
    assert first_double(["+a.b=1", "a=1", "++a.b=2"]) == "++a.b=2"
    assert first_double(["a=1", "a.b=1"]) is None
