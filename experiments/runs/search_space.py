"""What a search chooses from: the settings of a command line with several values, as Optuna is asked for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep

from experiments.errors import UserError

DIGITS = 6  # that a value of an interval keeps: 0.0415133, not 0.04151330190342378


class Trial(Protocol):
    """Optuna's word for one run of a search: it is asked for a value of each setting."""

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str: ...  # noqa: D102 - Optuna's

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...  # noqa: D102 - Optuna's

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...  # noqa: D102 - Optuna's


@dataclass(frozen=True)
class Listed:
    """A setting with a list of values, as texts; `ordered` says that neighbours are alike."""

    key: str
    texts: tuple[str, ...]
    ordered: bool

    def examples(self) -> Sequence[str]:
        """Every value."""
        return self.texts

    def ask(self, trial: Trial) -> str:
        """Return the value that is to be tried."""
        if self.ordered:
            return self.texts[trial.suggest_int(self.key, 0, len(self.texts) - 1)]
        return trial.suggest_categorical(self.key, self.texts)


@dataclass(frozen=True)
class Interval:
    """A setting with a number from `low` to `high`, both included; `log`: as many below the geometric mean as above."""

    key: str
    low: float
    high: float
    log: bool

    def examples(self) -> Sequence[str]:
        """Both ends."""
        return repr(self.low), repr(self.high)

    def ask(self, trial: Trial) -> str:
        """Return the value that is to be tried."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return repr(trial.suggest_int(self.key, self.low, self.high, log=self.log))
        value = float(f"{trial.suggest_float(self.key, self.low, self.high, log=self.log):.{DIGITS}g}")
        # What is rounded may not leave the interval.
        return repr(min(max(value, self.low), self.high))


@dataclass(frozen=True)
class Space:
    """The overrides of all runs of a search, and the settings in which they differ."""

    fixed: tuple[str, ...]
    searched: tuple[Listed | Interval, ...]

    def ask(self, trial: Trial) -> list[str]:
        """Return what is chosen for `trial`, as overrides."""
        return [f"{setting.key}={setting.ask(trial)}" for setting in self.searched]

    def examples(self) -> list[list[str]]:
        """Return overrides of a few runs, among which is every listed value and both ends of every interval."""
        values = [(setting.key, setting.examples()) for setting in self.searched]
        count = max(len(texts) for _, texts in values)
        return [
            [*self.fixed, *(f"{key}={texts[number % len(texts)]}" for key, texts in values)] for number in range(count)
        ]


def search_space(overrides: Sequence[str]) -> Space:
    """Read the overrides of a command line; those of Hydra's own settings are no part of a run.

    Raises:
        UserError: nothing to choose from, or a setting that a search cannot choose.
        HydraException: an override that cannot be read.
    """
    fixed: list[str] = []
    searched: list[Listed | Interval] = []
    for item in OverridesParser.create().parse_overrides(list(overrides)):
        text = str(item.input_line)
        if item.key_or_group.partition(".")[0].partition("/")[0] == "hydra":
            continue
        if not item.is_sweep_override():
            fixed.append(text)
            continue
        setting = _setting(item, text)
        if isinstance(setting, Listed) and len(setting.texts) == 1:
            fixed.append(f"{setting.key}={setting.texts[0]}")
        else:
            searched.append(setting)
    if not searched:
        raise UserError(
            "hydra/sweeper=optuna: nothing to search; give a setting several values, such as "
            "'optimizer.lr=tag(log,interval(0.001,0.3))'"
        )
    return Space(tuple(fixed), tuple(searched))


def _setting(item: Override, text: str) -> Listed | Interval:
    key = text.partition("=")[0]
    value = item.value()
    if item.key_or_group == "seed":
        raise UserError(f"{text}: a search would choose the luckiest seed; give one, and try the best run with others")
    if isinstance(value, IntervalSweep) and value.start is not None and value.end is not None:
        log = "log" in value.tags
        if not value.start < value.end:
            raise UserError(f"{text}: an interval goes from a number to a larger one")
        if log and value.start <= 0:
            raise UserError(f"{text}: tag(log,…) needs an interval above zero")
        return Interval(key, value.start, value.end, log)
    if isinstance(value, Glob):
        raise UserError(f"{text}: a search takes no glob; list the values")
    if isinstance(value, ChoiceSweep | RangeSweep) and value.shuffle:
        raise UserError(f"{text}: a search takes no shuffle: it chooses the order itself")
    texts = tuple(item.sweep_string_iterator())
    if not texts:
        raise UserError(f"{text}: no value, hence no run; a search needs at least one")
    return Listed(key, texts, isinstance(value, RangeSweep))
