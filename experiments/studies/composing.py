"""Composing an arm; what is wrong with it is said of the arm and the override that it comes from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from experiments.errors import StudyError, UserError
from experiments.runs.configuration import compose
from experiments.runs.overrides import override_key
from experiments.runs.validation import check_values


@dataclass(frozen=True)
class Sources:
    """Where the overrides of an arm come from.

    Attributes:
        arm: the arm's name.
        common: of the study, for all arms.
        given: on the command line, for all arms; they replace those of the study.
        own: of the arm.
    """

    arm: str
    common: tuple[str, ...]
    given: tuple[str, ...]
    own: tuple[str, ...]

    @property
    def overrides(self) -> tuple[str, ...]:
        """All of them; what comes later wins."""
        return (*self.common, *self.given, *self.own)

    def named_by(self, error: UserError) -> str | None:
        """Return the override whose key an error begins with."""
        named = re.match(r"[+~]*([\w./@]*)", str(error))
        key = named[1] if named else ""
        return next((item for item in reversed(self.overrides) if override_key(item) == key), None)

    def blamed(self, error: UserError, culprit: str | None) -> UserError:
        """Return what is wrong with the arm as what is wrong with `culprit`, one of its overrides, if it is known."""
        text = str(error)
        if culprit is None:
            return StudyError(f"arm {self.arm}: {text}")
        if culprit in self.given and culprit not in self.own:
            return error
        where = f"arm {self.arm}: " if culprit in self.own else ""
        # The override says key and value.
        reason = re.sub(rf"^[+~]*{re.escape(override_key(culprit))}(=.*?)?: ", "", text)
        return StudyError(f"{where}override {culprit}: {reason}")


def compose_arm(sources: Sources, seed: int) -> DictConfig:
    """Compose an arm under a seed, and check all of it that can be known without what it configures.

    Raises:
        UserError: one line; a `StudyError` where it is not about the command line.
    """
    try:
        return _composed([*sources.overrides, f"seed={seed}"])
    except UserError as error:
        raise sources.blamed(error, sources.named_by(error) or _culprit(sources, seed)) from error


def _composed(overrides: Sequence[str]) -> DictConfig:
    cfg = compose(overrides)
    check_values(cfg)
    return cfg


def _culprit(sources: Sources, seed: int) -> str | None:
    """Return the last override without which the others would do."""
    for culprit in reversed(sources.overrides):
        try:
            _composed([*(item for item in sources.overrides if item != culprit), f"seed={seed}"])
        except UserError:
            continue
        return culprit
    return None
