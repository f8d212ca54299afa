"""What a search chooses from: Hydra's sweeps as Optuna is asked for them. Nothing here needs Optuna."""

from collections.abc import Sequence

import pytest

from experiments.errors import UserError
from experiments.runs.configuration import compose
from experiments.runs.search_space import search_space


class Chooser:
    """Stands for a trial: chooses the last of each list, and the same place in each interval."""

    def __init__(self, place: float = 1.0) -> None:
        self.place = place
        self.asked: dict[str, object] = {}

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        self.asked[name] = tuple(choices)
        return choices[-1]

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.asked[name] = (low, high, log)
        return round(low + self.place * (high - low))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked[name] = (low, high, log)
        return low + self.place * (high - low)


def test_each_sweep_is_asked_for_as_what_it_is() -> None:
    space = search_space(
        [
            "hydra/sweeper=optuna",
            "hydra.sweeper.n_trials=3",
            "trainer.max_epochs=1",
            "model=conv5x5,two_conv3x3",
            "optimizer.lr=tag(log,interval(0.001,0.3))",
            "datamodule.batch_size=int(interval(16,64))",
            "+ema=range(0.1,0.5,0.1)",
            "model.network.widths=choice([8])",
        ]
    )
    assert space.fixed == ("trainer.max_epochs=1", "model.network.widths=[8]")
    trial = Chooser()
    assert space.ask(trial) == ["model=two_conv3x3", "optimizer.lr=0.3", "datamodule.batch_size=64", "+ema=0.4"]
    assert trial.asked == {
        "model": ("conv5x5", "two_conv3x3"),
        "optimizer.lr": (0.001, 0.3, True),
        "datamodule.batch_size": (16, 64, False),
        "+ema": (0, 3, False),
    }


def test_a_number_is_short_and_stays_in_its_interval() -> None:
    assert search_space(["a=interval(0,1)"]).ask(Chooser(1 / 3)) == ["a=0.333333"]
    low, high = 0.12345678, 0.98765432
    space = search_space([f"a=interval({low},{high})"])
    assert [space.ask(Chooser(place)) for place in (0, 1)] == [["a=0.123457"], ["a=0.987654"]]
    # Rounded, both would be outside.
    space = search_space(["a=interval(0.12345671,0.98765389)"])
    assert all(0.12345671 <= float(space.ask(Chooser(place))[0][2:]) <= 0.98765389 for place in (0, 1))
    space = search_space(["a=interval(0.12345678,0.12345689)"])
    assert [space.ask(Chooser(place)) for place in (0, 1)] == [["a=0.123457"], ["a=0.123457"]] or all(
        0.12345678 <= float(space.ask(Chooser(place))[0][2:]) <= 0.12345689 for place in (0, 1)
    )


def test_quoted_and_listed_values_come_through_whole() -> None:
    space = search_space(["experiment='a b','c,d'", "model.network.widths=[4],[8,8]", "model=conv5x5"])
    overrides = [*space.fixed, *space.ask(Chooser())]
    cfg = compose(overrides)
    assert (cfg.experiment, cfg.model.network.widths) == ("c,d", [8, 8])


def test_the_examples_hold_every_value_and_both_ends() -> None:
    space = search_space(["seed=3", "model=a,b,c", "optimizer.lr=interval(0.1,0.2)"])
    assert space.examples() == [
        ["seed=3", "model=a", "optimizer.lr=0.1"],
        ["seed=3", "model=b", "optimizer.lr=0.2"],
        ["seed=3", "model=c", "optimizer.lr=0.1"],
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "hydra/sweeper=optuna: nothing to search"),
        (["model=choice(a)", "optimizer.lr=0.1"], "hydra/sweeper=optuna: nothing to search"),
        (["seed=0,1"], "seed=0,1: a search would choose the luckiest seed"),
        (["seed=interval(0,9)"], "seed=interval(0,9): a search would choose the luckiest seed"),
        (["a=interval(2,1)"], "a=interval(2,1): an interval goes from a number to a larger one"),
        (["a=tag(log,interval(0,1))"], "a=tag(log,interval(0,1)): tag(log,…) needs an interval above zero"),
        (["model=glob(*)"], "model=glob(*): a search takes no glob"),
        (["a=shuffle(1,2)"], "a=shuffle(1,2): a search takes no shuffle"),
        (["a=range(0,0)"], "a=range(0,0): no value, hence no run"),
    ],
)
def test_what_cannot_be_searched_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        search_space(overrides)
    assert str(refused.value).startswith(message)
