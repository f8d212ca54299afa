"""How numbers of a comparison are said: the same words in the terminal, in figures and in reports."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from experiments.runs.plotting import thousands
from experiments.studies.comparison import ArmSummary, Comparison, Contrast
from experiments.studies.intervals import FEWEST, Estimate

_NAMES = {
    "top1_error": "top-1 error",
    "top5_error": "top-5 error",
    "loss": "loss",
    "latency_seconds": "seconds of a forward pass",
    "train_seconds": "seconds of training",
    "test_seconds": "seconds of testing",
}
_SPLITS = {"test": "", "val": "validation ", "train": "training ", "time": ""}
UNKNOWN = "-"
MINUTE, FEW_MINUTES, MANY_MINUTES = 60.0, 10.0, 120.0  # in seconds, in minutes
EFFECTS = (
    "A main effect is the difference to the factor's first level, averaged over the other factors; an interaction is "
    "how much two levels together exceed the sum of what each does alone. Paired by seed; intervals at 95 % each."
)
INTERVALS = (
    f"Mean with its 95 % interval over n runs: Student's t; from {FEWEST} runs on, at each end the wider of it and the "
    "BCa bootstrap."
)


def metric_name(metric: str) -> str:
    """Say `test/top1_error` as `top-1 error`, `val/loss` as `validation loss`."""
    split, _, name = metric.partition("/")
    return _SPLITS.get(split, f"{split} ") + _NAMES.get(name, name) if name else metric


def metric_unit(metric: str) -> str:
    """Return `%` for errors, `nats` for losses, nothing for what is not known."""
    return "%" if metric.endswith("_error") else "nats" if metric.endswith("/loss") else ""


def titled(metric: str) -> str:
    """Return the metric's name with its unit in brackets."""
    unit = metric_unit(metric)
    return f"{metric_name(metric)} ({unit})" if unit else metric_name(metric)


def with_interval(value: Estimate | None) -> str:
    """Say a mean with its 95 % interval.

    `1.39 ± 0.51`; `1.39 [0.95, 1.80]` where it reaches further to one side; `1.39 (no interval)` where there is none.
    """
    if value is None:
        return UNKNOWN
    if value.low is None:
        return f"{value.mean:.2f} (no interval)"
    half = value.half_width
    return f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]" if half is None else f"{value.mean:.2f} ± {half:.2f}"


def input_size(shape: tuple[int, int, int] | None) -> str:
    """Say `(C, H, W)` as `CxHxW`."""
    return UNKNOWN if shape is None else "x".join(map(str, shape))


def macs_title(comparison: Comparison) -> str:
    """Name the column of MACs; the input size stands in it, or beside each number where the arms differ."""
    shapes = comparison.input_shapes
    return f"MACs at {input_size(next(iter(shapes)))}" if len(shapes) == 1 else "MACs at input size"


def macs(arm: ArmSummary, comparison: Comparison) -> str:
    """Say the arm's MACs with a unit prefix."""
    said = _measure(arm.measures, "macs", thousands)
    return said if len(comparison.input_shapes) <= 1 else f"{said} at {input_size(arm.input_shape)}"


def parameters(arm: ArmSummary) -> str:
    """Say the arm's number of parameters, exactly."""
    return _measure(arm.measures, "parameters", lambda value: f"{value:,.0f}")


def receptive_field(arm: ArmSummary) -> str:
    """Say the arm's theoretical receptive field in input pixels."""
    return _measure(arm.measures, "receptive_field", lambda value: f"{value:g} px")


def seconds(arm: ArmSummary) -> str:
    """Say the mean seconds of training of a run; without an interval, since the machine's load is not the arm's."""
    return UNKNOWN if arm.seconds is None else f"{arm.seconds.mean:.1f}"


def count(arm: ArmSummary) -> str:
    """Say n, and of how many where replicates are missing."""
    return f"{arm.n}" if not arm.missing else f"{arm.n} of {len(arm.replicates)}"


def duration(seconds: float) -> str:
    """Say a time as people do: `38 seconds`, `1.7 minutes`, `47 minutes`, `2.1 hours`."""
    if seconds < MINUTE:
        return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
    minutes = seconds / MINUTE
    if minutes < MANY_MINUTES:
        return f"{minutes:.{1 if minutes < FEW_MINUTES else 0}f} minutes"
    return f"{minutes / 60:.1f} hours"


def megabytes(count: float) -> str:
    """Say a number of bytes: `38 MB`, `1.2 GB`."""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"  # noqa: PLR2004 - decimal units


def listed(seeds: Iterable[int]) -> str:
    """Say `seed 2`, `seeds 1, 2`."""
    numbers = [str(seed) for seed in seeds]
    return f"seed{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def effect_numbers(
    effect: Estimate, unit: str, left_out: Sequence[int], number: Callable[[float], str] = "{:+.2f}".format
) -> str:
    """Say a mean with its interval, n, and the seeds that it lacks; `unit` follows the mean, with a space before it."""
    told = [f"{effect.bound} {number(effect.mean)}{unit}".lstrip()]
    if (end := bounding_end(effect)) is not None:
        told.append(f"95 % interval {'from' if effect.bound == 'at least' else 'up to'} {number(end)}")
    elif effect.low is not None and effect.high is not None:
        told.append(f"95 % interval [{number(effect.low)}, {number(effect.high)}]")
    told.append(f"n = {effect.n}")
    if left_out:
        told.append(f"{listed(left_out)} left out")
    return ", ".join(told)


def bounding_end(effect: Estimate) -> float | None:
    """Return the end of the interval that still says something where `effect` is a bound; `None` where it is none."""
    return {"": None, "at least": effect.low, "at most": effect.high}[effect.bound]


def contrast_numbers(contrast: Contrast, metric: str) -> str:
    """Say the effect with interval and n: `two_conv3x3 - conv5x5: +0.28 points of top-1 error, 95 % interval …`."""
    effect = contrast.effect
    head = f"{contrast.arm} - {contrast.baseline}:"
    if effect is None:
        return f"{head} no seed has finished in both arms, n = 0"
    unit = "points of " if metric_unit(metric) == "%" else f"{metric_unit(metric)} of ".removeprefix(" of ")
    interval = "no interval" if effect.low is None else f"95 % interval [{effect.low:+.2f}, {effect.high:+.2f}]"
    pairs = "pair" if effect.n == 1 else "pairs"
    left_out = f"; {listed(contrast.unpaired)} left out, unfinished in one of the two" if contrast.unpaired else ""
    return (
        f"{head} {effect.mean:+.2f} {unit}{metric_name(metric)}, {interval}, n = {effect.n} {pairs} of runs{left_out}"
    )


def contrast_answer(contrast: Contrast, metric: str) -> str:
    """Say what the interval does and does not show, in one sentence."""
    effect, name = contrast.effect, metric_name(metric)
    if effect is None:
        return "Undecided: there is nothing to compare."
    if effect.n == 1:
        return "Undecided: one pair says nothing of how much seeds differ; run more of them."
    if contrast.has_no_spread:
        return (
            "Undecided: all differences are the same number to rounding, from which no spread can be estimated; "
            "run more seeds."
        )
    if contrast.outcome == "undecided":
        return (
            f"Undecided: the interval contains 0, so these {effect.n} seeds do not show which {name} is lower; "
            "that does not show that they are equal."
        )
    side = "below" if contrast.outcome == "lower" else "above"
    return f"{contrast.arm} has the {contrast.outcome} {name}: the whole interval lies {side} 0."


def correction_note(comparison: Comparison) -> str:
    """Say that several intervals are not corrected; nothing for one contrast."""
    number = len(comparison.contrasts)
    return "" if number < 2 else f"Each interval is at 95 % by itself, not corrected for {number} contrasts."  # noqa: PLR2004


def _measure(measures: Mapping[str, float], name: str, say: Callable[[float], str]) -> str:
    value = measures.get(name)
    return UNKNOWN if value is None else say(value)
