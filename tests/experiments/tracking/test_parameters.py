"""A configuration as parameters."""

from experiments.tracking.parameters import flatten


def test_nested_values_get_dotted_names_and_nothing_is_lost() -> None:
    nested = {
        "optimizer": {"lr": 0.1, "nesterov": True, "extra": None},
        "mean": [0.1, 0.2],
        "transforms": [{"_target_": "a.Flip", "p": 0.5}, {"_target_": "a.Crop", "size": [32, 32]}],
        "empty": {},
        "nothing": [],
        "long": "x" * 10_000,
    }

    assert dict(flatten(nested)) == {
        "optimizer.lr": "0.1",
        "optimizer.nesterov": "True",
        "optimizer.extra": "None",
        "mean": "[0.1, 0.2]",
        "transforms.0._target_": "a.Flip",
        "transforms.0.p": "0.5",
        "transforms.1._target_": "a.Crop",
        "transforms.1.size": "[32, 32]",
        "empty": "{}",
        "nothing": "[]",
        "long": "x" * 10_000,
    }
