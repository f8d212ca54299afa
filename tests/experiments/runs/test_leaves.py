"""The leaves of a configuration."""

from experiments.runs.leaves import leaves

CONTENT = {"a": {"b": 1, "c": {}}, "d": [1, 2], "e": [{"p": 0.5}, "x"], "f": None}


def test_every_value_stands_under_its_keys_in_order() -> None:
    assert list(leaves(CONTENT)) == [("a.b", 1), ("a.c", {}), ("d", [1, 2]), ("e", [{"p": 0.5}, "x"]), ("f", None)]


def test_lists_that_hold_mappings_are_gone_into_when_asked() -> None:
    assert list(leaves(CONTENT, into_lists=True))[2:] == [("d", [1, 2]), ("e[0].p", 0.5), ("e[1]", "x"), ("f", None)]
