"""The budget rule: what is held equal between arms, checked, or solved for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from experiments.errors import StudyError, UserError
from experiments.runs.matching import Quantity
from experiments.studies.study_parts import Budget

# How long an arm trains, whatever it trains on.
LENGTH_KEYS = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer.limit_train_batches")
FOREVER = 1_000_000  # epochs; something else ends the training


@dataclass(frozen=True)
class Share:
    """What the budget rule gives one arm: further overrides, and a sentence about them; empty where it needs none."""

    overrides: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Allotted:
    """An arm as the budget rule sees it: its configuration, and all of its overrides but the seed."""

    cfg: DictConfig
    overrides: Sequence[str]


def allot(budget: Budget, arms: Mapping[str, Allotted], baseline: str) -> dict[str, Share]:
    """Return what each arm gets, so that all spend the same.

    Raises:
        UserError: arms of different lengths that the rule cannot make equal, a network that cannot be varied, or one
            that misses the budget by more than the tolerance.
    """
    if budget.equal == "samples":
        return _equal_samples(budget, arms, baseline)
    if budget.equal == "wall_time":
        return _equal_time(budget, arms)
    _refuse_lengths(budget, arms)
    if budget.equal == "epochs":
        return dict.fromkeys(arms, Share())
    return _equal_size(budget, budget.equal, arms, baseline)


def _refuse_lengths(budget: Budget, arms: Mapping[str, Allotted]) -> None:
    """Refuse arms that train for different lengths, or until something happens: an arm must not stop before others."""
    for key in LENGTH_KEYS:
        values = {name: OmegaConf.select(arm.cfg, key) for name, arm in arms.items()}
        if len({str(value) for value in values.values()}) > 1:
            said = ", ".join(f"{name} {value}" for name, value in values.items())
            raise StudyError(
                f"{key}: the budget holds {_what(budget)} equal, and the arms differ in it ({said}); "
                "say it for all arms, or use budget.equal=samples"
            )
    name, arm = next(iter(arms.items()))
    if (limit := OmegaConf.select(arm.cfg, "trainer.max_time")) is not None:
        raise StudyError(
            f"trainer.max_time={limit}: would end arms such as {name} after different numbers of epochs; "
            "budget.equal=wall_time holds the time equal"
        )


def _what(budget: Budget) -> str:
    return "epochs" if budget.equal == "epochs" else f"{budget.equal} and epochs"


def _equal_samples(budget: Budget, arms: Mapping[str, Allotted], baseline: str) -> dict[str, Share]:
    from experiments.runs.build import build_datamodule  # noqa: PLC0415 - imports torch, which other rules do not need

    for name, arm in arms.items():
        for key in ("trainer.max_time", "trainer.max_steps"):
            if OmegaConf.select(arm.cfg, key) not in (None, -1):
                raise StudyError(f"arms.{name}: {key}: the budget of equal samples decides how long an arm trains")
    batches = {name: _batches(name, arm.cfg, len(build_datamodule(arm.cfg).split.train)) for name, arm in arms.items()}
    samples = budget.samples
    if samples is None:
        samples = int(arms[baseline].cfg.trainer.max_epochs) * batches[baseline].steps * batches[baseline].samples
    shares = {}
    for name in arms:
        batch = batches[name].samples
        steps = math.ceil(samples / batch)
        shares[name] = Share(
            (f"trainer.max_steps={steps}", f"trainer.max_epochs={FOREVER}"),
            f"{steps:,} steps of {batch:,}: {steps * batch:,} samples",
        )
    return shares


@dataclass(frozen=True)
class _Batches:
    """Of one epoch: optimizer steps, and the samples of each."""

    steps: int
    samples: int


def _batches(name: str, cfg: DictConfig, training: int) -> _Batches:
    """Return what an epoch of so many training samples is cut into, as the sampler does it: whole batches alone."""
    size = min(int(cfg.datamodule.batch_size), training)
    count, accumulated = training // size, int(cfg.trainer.accumulate_grad_batches)
    if count % accumulated:
        raise StudyError(
            f"arms.{name}: trainer.accumulate_grad_batches={accumulated}: an epoch of {count} batches ends with a "
            "smaller step, so that samples cannot be counted; it must divide the batches of an epoch"
        )
    return _Batches(count // accumulated, size * accumulated)


def _equal_time(budget: Budget, arms: Mapping[str, Allotted]) -> dict[str, Share]:
    for name, arm in arms.items():
        schedule = arm.cfg.choices.get("scheduler")
        if schedule != "constant":
            raise StudyError(
                f"scheduler={schedule}: equal wall time ends arms at different steps, where a schedule would leave "
                f"{name} at another rate than others; allowed: constant"
            )
    seconds = round((budget.minutes or 0) * 60)
    limit = f"{seconds // 86400:02d}:{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    share = Share((f"+trainer.max_time='{limit}'", f"trainer.max_epochs={FOREVER}"), f"{budget.minutes:g} minutes")
    return dict.fromkeys(arms, share)


def _equal_size(budget: Budget, quantity: Quantity, arms: Mapping[str, Allotted], baseline: str) -> dict[str, Share]:
    from experiments.runs.build import build_datamodule  # noqa: PLC0415 - see above
    from experiments.runs.matching import match_budget  # noqa: PLC0415

    spec = build_datamodule(arms[baseline].cfg).spec
    shape = (spec.channels, spec.image_size, spec.image_size)
    shares = {baseline: Share()}
    for name, arm in arms.items():
        if name == baseline:
            continue
        try:
            matched = match_budget(
                arm.overrides,
                shape,
                spec.num_classes,
                quantity=quantity,
                target=arms[baseline].overrides,
                by=budget.by,
                tolerance=budget.tolerance,
            )
        except UserError as error:
            raise StudyError(f"budget.equal={quantity}: arms.{name}: {error}") from error
        if not matched.within:
            raise StudyError(f"budget.equal={quantity}: arms.{name}: {matched.sentence()}")
        shares[name] = Share(matched.overrides, matched.sentence())
    return {name: shares[name] for name in arms}
