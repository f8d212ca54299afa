"""Effects of crossed factors against sums worked out by hand."""

import itertools
from fractions import Fraction

import pytest

from experiments.studies.factorial import FactorEffect, factor_effects
from experiments.studies.intervals import estimate

TWO = {"skip": ["off", "on"], "depth": ["20", "56"]}
CELLS = {f"{skip}.{depth}": {"skip": skip, "depth": depth} for skip, depth in itertools.product(*TWO.values())}


def named(effects: tuple[FactorEffect, ...]) -> dict[tuple[str, ...], FactorEffect]:
    return {tuple(f"{factor}={level}" for factor, level in effect.levels.items()): effect for effect in effects}


def test_two_by_two() -> None:
    # Seed 0: skip saves 2 at depth 20 and 10 at depth 56. Seed 1: the same and one more at depth 56.
    values = {
        "off.20": {0: 10.0, 1: 20.0},
        "off.56": {0: 15.0, 1: 26.0},
        "on.20": {0: 8.0, 1: 18.0},
        "on.56": {0: 5.0, 1: 15.0},
    }
    found = named(factor_effects(TWO, CELLS, values))
    assert list(found) == [("skip=on",), ("depth=56",), ("skip=on", "depth=56")]
    assert found["skip=on",].by_seed == {0: -6.0, 1: -6.5}
    assert found["depth=56",].by_seed == {0: 1.0, 1: 1.5}
    both = found["skip=on", "depth=56"]
    assert both.by_seed == {0: -8.0, 1: -9.0}
    assert both.estimate == estimate([-8.0, -9.0])
    assert both.is_interaction
    assert not found["skip=on",].is_interaction
    assert both.against == {"skip": "off", "depth": "20"}
    halves = {"on.20": Fraction(1, 2), "off.20": Fraction(-1, 2), "on.56": Fraction(1, 2), "off.56": Fraction(-1, 2)}
    assert found["skip=on",].contrast.coefficients == halves


def test_levels_are_against_the_first_and_averaged_over_the_other_factors() -> None:
    factors = {"a": ["0", "1", "2"], "b": ["0", "1"], "c": ["0", "1", "2"]}
    cells = {
        "".join(levels): dict(zip(factors, levels, strict=True)) for levels in itertools.product(*factors.values())
    }
    own = {"a": [0.0, 3.0, 7.0], "b": [0.0, -2.0], "c": [0.0, 0.5, 0.25]}
    # Additive, but for 12 more where a is 2 and b is 1.
    values = {
        name: {0: sum(own[factor][int(level)] for factor, level in levels.items()) + 12 * (name[:2] == "21")}
        for name, levels in cells.items()
    }
    found = {levels: effect.by_seed[0] for levels, effect in named(factor_effects(factors, cells, values)).items()}
    assert found["a=1",] == pytest.approx(3)
    assert found["a=2",] == pytest.approx(7 + 12 / 2)
    assert found["b=1",] == pytest.approx(-2 + 12 / 3)
    assert found["c=1",] == pytest.approx(0.5)
    assert found["a=2", "b=1"] == pytest.approx(12)
    others = [value for levels, value in found.items() if len(levels) > 1 and levels != ("a=2", "b=1")]
    assert others == pytest.approx([0.0] * 7)
    assert len(found) == 5 + 8


def test_only_seeds_complete_for_the_effect_count() -> None:
    factors = {"norm": ["none", "batch", "group"], "depth": ["20", "56"]}
    cells = {
        "".join(levels): dict(zip(factors, levels, strict=True)) for levels in itertools.product(*factors.values())
    }
    values = {name: {0: 1.0, 1: 2.0, 2: 3.0} for name in cells}
    del values["group56"][1]
    del values["none20"][2]
    found = named(factor_effects(factors, cells, values, planned=[0, 1, 2, 3]))
    assert (set(found["norm=batch",].by_seed), found["norm=batch",].left_out) == ({0, 1}, (2, 3))
    assert (set(found["norm=group",].by_seed), found["norm=group",].left_out) == ({0}, (1, 2, 3))
    assert found["depth=56",].left_out == (1, 2, 3)
    nothing = named(factor_effects(factors, cells, {}))["norm=batch",]
    assert (nothing.estimate, nothing.by_seed, nothing.left_out) == (None, {}, ())


def test_what_is_not_crossed_is_refused() -> None:
    with pytest.raises(ValueError, match="not fully crossed: no arm has on, 56"):
        factor_effects(TWO, {name: levels for name, levels in CELLS.items() if name != "on.56"}, {})
    with pytest.raises(ValueError, match=r"arms off.20 and again are the same combination"):
        factor_effects(TWO, {**CELLS, "again": CELLS["off.20"]}, {})
