"""Arms from factors: which combinations there are, what they are called, and what they set."""

import pytest

from experiments.studies.factors import cross

DEPTH = {"8": ["model=plain8"], "20": ["model=plain20"]}
NORM = {"off": [], "on": ["norm=batch"]}
SKIP = {"plain": ["skip=false"], "residual": ["skip=true"]}


def names(**factors: dict[str, list[str]]) -> list[str]:
    return [cell.name for cell in cross(factors)]


def test_two_switches_are_baseline_each_and_both() -> None:
    cells = cross({"A": {"off": [], "on": ["a=1"]}, "B": {"off": [], "on": ["b=1"]}})
    assert [(cell.name, cell.overrides, cell.is_baseline) for cell in cells] == [
        ("baseline", (), True),
        ("B", ("b=1",), False),
        ("A", ("a=1",), False),
        ("A.B", ("a=1", "b=1"), False),
    ]


def test_levels_name_the_arms_and_bare_numbers_get_their_factor() -> None:
    assert names(skip=SKIP, depth=DEPTH) == ["plain.depth8", "plain.depth20", "residual.depth8", "residual.depth20"]


def test_arms_that_stand_in_the_file_keep_their_names_though_they_are_numbers() -> None:
    assert names(arm={"5": ["k=5"], "3": ["k=3"]}, norm=NORM) == ["5", "5.norm", "3", "3.norm"]


def test_zipped_factors_go_together_and_the_first_names_them() -> None:
    width = {"16": ["width=16"], "8": ["width=8"]}
    cells = cross({"depth": DEPTH, "skip": SKIP, "width": width}, zipped=[["depth", "width"]])
    assert [(cell.name, cell.overrides) for cell in cells] == [
        ("depth8.plain", ("model=plain8", "skip=false", "width=16")),
        ("depth8.residual", ("model=plain8", "skip=true", "width=16")),
        ("depth20.plain", ("model=plain20", "skip=false", "width=8")),
        ("depth20.residual", ("model=plain20", "skip=true", "width=8")),
    ]
    assert [cell.is_baseline for cell in cells] == [True, False, False, False]


def test_a_condition_leaves_a_factor_at_its_baseline_elsewhere_and_no_arm_twice() -> None:
    cells = cross({"depth": DEPTH, "norm": NORM}, when={"norm": {"depth": ["20"]}})
    assert [(cell.name, dict(cell.levels)) for cell in cells] == [
        ("depth8", {"depth": "8", "norm": "off"}),
        ("depth20", {"depth": "20", "norm": "off"}),
        ("depth20.norm", {"depth": "20", "norm": "on"}),
    ]


@pytest.mark.parametrize(
    ("zipped", "when", "complaint"),
    [
        ([["depth", "width"]], {}, r"zip: 'width' is no factor; allowed: depth, skip, three"),
        ([["depth", "three"]], {}, r"zip: factors that go together need as many levels each; here depth 2, three 3"),
        ([["depth", "skip"], ["skip", "depth"]], {}, r"zip: 'skip' stands in it twice"),
        ([], {"norm": {}}, r"when: 'norm' is no factor"),
        ([], {"skip": {"skip": ["plain"]}}, r"when\.skip: 'skip' is no other factor; allowed: depth, three"),
        ([], {"skip": {"depth": ["9"]}}, r"when\.skip\.depth: '9' is no level of it; allowed: 8, 20"),
        ([["depth", "skip"]], {"skip": {"three": ["a"]}}, r"when: 'skip' goes together with others"),
    ],
)
def test_what_cannot_be_combined(
    zipped: list[list[str]], when: dict[str, dict[str, list[str]]], complaint: str
) -> None:
    factors = {"depth": DEPTH, "skip": SKIP, "three": {"a": [], "b": ["x=1"], "c": ["x=2"]}}
    with pytest.raises(ValueError, match=complaint):
        cross(factors, zipped=zipped, when=when)


def test_levels_that_would_name_two_arms_alike_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(a=off, b=x\) and \(a=x, b=off\) would both be called 'x'"):
        cross({"a": {"off": [], "x": ["a=1"]}, "b": {"off": [], "x": ["b=1"]}})


def test_a_condition_on_a_factor_that_has_one_itself() -> None:
    kind = {"plain": ["k=1"], "res": ["k=2"]}
    cells = cross(
        {"kind": kind, "depth": DEPTH, "norm": NORM}, when={"norm": {"depth": ["20"]}, "depth": {"kind": ["res"]}}
    )
    assert [cell.name for cell in cells] == ["plain.depth8", "res.depth8", "res.depth20", "res.depth20.norm"]
