"""A search: which runs it asks for, what it makes of those that fail, and what it calls the best."""

import math
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from experiments.errors import UserError
from experiments.runs.search import JobEnd, Search

OVERRIDES = ["hydra/sweeper=optuna", "optimizer.lr=tag(log,interval(0.001,0.3))", "trainer.max_epochs=2"]
BEST_RATE = 0.02


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"^hydra/sweeper=optuna: not installed; pip install 'whydeep\[optuna\]'"):
        Search(OVERRIDES)


@pytest.fixture
def rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the learning rates that `_job` has been given, in a folder where Hydra may write."""
    pytest.importorskip("optuna", reason="the extra 'optuna' is not installed")
    monkeypatch.chdir(tmp_path)
    return []


def _error(rate: float) -> float:
    return abs(math.log(rate / BEST_RATE))


def _job(rates: list[float], failing: Callable[[int], JobEnd | None] = lambda _: None) -> Callable[..., JobEnd]:
    """Return a job whose error is least at `BEST_RATE`; `failing` says how those end that do otherwise."""

    def job(cfg: DictConfig) -> JobEnd:
        rates.append(cfg.optimizer.lr)
        assert cfg.trainer.max_epochs == 2
        return failing(len(rates)) or JobEnd(0, _error(cfg.optimizer.lr), f"run{len(rates)}")

    return job


def _search(rates: list[float], *overrides: str, **job: Callable[[int], JobEnd | None]) -> Search:
    search = Search([*OVERRIDES, *overrides])
    search.run(_job(rates, **job))
    return search


def test_the_same_command_asks_for_the_same_runs_and_a_longer_one_goes_further(rates: list[float]) -> None:
    _search(rates, "hydra.sweeper.n_trials=12")
    first = rates.copy()
    rates.clear()
    _search(rates, "hydra.sweeper.n_trials=15")
    assert len(first) == 12 == len(set(first))
    assert rates[:12] == first
    rates.clear()
    _search(rates, "hydra.sweeper.n_trials=12", "seed=1")
    assert not {*rates} & {*first}


def test_a_search_comes_nearer_than_chance(rates: list[float]) -> None:
    _search(rates, "hydra.sweeper.n_trials=30")
    guided = statistics.mean(map(_error, rates[10:]))
    rates.clear()
    _search(rates, "hydra.sweeper.n_trials=30", "hydra/sweeper/sampler=random")
    assert guided < 0.8 * statistics.mean(map(_error, rates[10:]))


def test_the_best_is_that_of_the_least_error_with_its_command(rates: list[float]) -> None:
    found = Search([*OVERRIDES, "hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2"]).run(_job(rates))
    assert found is not None
    best = min(rates, key=_error)
    assert found.chosen == (f"optimizer.lr={best!r}",)
    assert found.error == _error(best)
    assert found.run == f"run{rates.index(best) + 1}"
    assert found.lines()[-1].strip() == f"whydeep train trainer.max_epochs=2 optimizer.lr={best!r}"
    assert (found.runs, found.failed) == (5, 0)


def test_a_failed_run_ends_nothing_and_is_never_the_best(rates: list[float]) -> None:
    def failing(number: int) -> JobEnd | None:
        if number == 4:
            raise OSError("the disk is gone")
        return {2: JobEnd(1), 3: JobEnd(1, crashed=True)}.get(number)

    search = Search([*OVERRIDES, "hydra.sweeper.n_trials=6"])
    found = search.run(_job(rates, failing))
    assert len(rates) == 6
    assert found is not None
    assert found.lines()[0].startswith("best of 6 runs (3 failed) by validation: optimizer.lr=")
    assert f"optimizer.lr={rates[1]!r}" not in found.chosen
    assert search.codes == [0, 1, 1, 1, 0, 0]
    # One that would fail again is worse than all others; one that the machine failed says nothing.
    assert [trial.state.name for trial in search._study.trials] == [
        "COMPLETE",
        "PRUNED",
        "FAIL",
        "FAIL",
        "COMPLETE",
        "COMPLETE",
    ]


def test_where_no_run_has_a_validation_error_none_is_the_best(rates: list[float]) -> None:
    search = Search([*OVERRIDES, "hydra.sweeper.n_trials=2"])
    assert search.run(_job(rates, lambda number: JobEnd(0 if number == 1 else 1))) is None
    assert search.codes == [1, 1]


def test_a_stopped_run_stops_the_search(rates: list[float]) -> None:
    with pytest.raises(SystemExit) as stop:
        _search(rates, failing=lambda number: JobEnd(143) if number == 2 else None)
    assert stop.value.code == 143
    assert len(rates) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials=0: must be a whole number of at least 1"),
        ("hydra.sweeper.n_jobs=two", "hydra.sweeper.n_jobs=two: must be a whole number of at least 1"),
        ("hydra.sweeper.direction=maximize", "hydra.sweeper.direction: unknown key; "),
        ("hydra.sweeper.n_trails=2", "hydra.sweeper.n_trails: unknown key; did you mean 'hydra.sweeper.n_trials'?"),
        ("hydra.sweeper.sampler.seed=x", "hydra.sweeper.sampler: "),
    ],
)
@pytest.mark.usefixtures("rates")
def test_a_setting_that_a_search_cannot_have_is_refused(override: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        Search([*OVERRIDES, override])
    assert str(refused.value).startswith(message)
