"""A claim as it stands in a study's YAML, stated before anything runs."""

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

PER_LAYER = ("measure/parameters", "measure/macs", "measure/activations")

EPOCHS = "epochs"

Kind = Literal["lower", "higher", "not_worse", "equivalent", "equal"]


def _fraction(value: object) -> object:
    """Read `18/25`, `0.72` or a whole number, exactly."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number or a fraction such as 18/25")  # noqa: TRY004 - pydantic turns it into a line
    try:
        # By its digits: 0.72 is meant as 72/100, not as the nearest binary number.
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError("must be a number or a fraction such as 18/25") from error


def _from_zero(value: float) -> float:
    if not 0 <= value < float("inf"):
        raise ValueError("must be a number from 0")
    return value


class Claim(BaseModel):
    """What a study would count as yes.

    Attributes:
        contrast: of arms: `two_conv3x3 - conv5x5`, `0.5*a + 0.5*b - c`, or a ratio of two, `two_conv3x3 / conv5x5`.
        on: what is compared: a metric such as `test/top1_error`, or a measure such as `measure/parameters`; `None` for
            the study's metric.
        layers: for `measure/parameters`, `measure/macs` and `measure/activations`: a pattern; only layers whose name
            matches it are summed (`stages.*`).
        reach: what is compared is not `on` but what it takes until `on` is at most this, for errors and losses; see
            `reaching.py`.
        over: what it takes is counted in: the levels of a factor, such as samples, or `epochs`.
        kind: `is` in the file. `lower` and `higher`: by more than `margin`. `not_worse`: by less than `margin`.
            `equivalent`: within ± `margin`. `equal`: exactly `to`, for measures, which have no spread.
        margin: in the unit of `on` (points for errors).
        to: what `equal` is to: 0 for differences, 1 for ratios, where nothing is said.
        better: whether lower or higher values are better, for `not_worse`.

    Raises:
        pydantic.ValidationError: an unknown key, a margin that is missing where it is needed, or given where it is not.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    contrast: str = Field(min_length=1)
    on: str | None = None
    layers: str | None = None
    reach: Annotated[float, AfterValidator(_from_zero)] | None = None
    over: str | None = None
    kind: Kind = Field(alias="is")
    margin: Annotated[float, AfterValidator(_from_zero)] | None = None
    to: Annotated[Fraction, BeforeValidator(_fraction)] | None = None
    better: Literal["lower", "higher"] = "lower"

    @property
    def is_ratio(self) -> bool:
        """Whether two arms are divided, not subtracted."""
        return "/" in self.contrast

    @property
    def target(self) -> Fraction:
        """What an exact claim expects."""
        return Fraction(int(self.is_ratio)) if self.to is None else self.to

    @model_validator(mode="after")
    def _fits(self) -> "Claim":
        if self.kind in ("not_worse", "equivalent") and not self.margin:
            raise ValueError(f"is: {self.kind} needs a margin above 0")
        if self.kind == "equal" and self.margin is not None:
            raise ValueError("is: equal is exact and takes no margin; is: equivalent takes one")
        if self.kind != "equal" and self.to is not None:
            raise ValueError(f"is: {self.kind} takes no 'to'; is: equal does")
        if self.layers is not None and self.on not in PER_LAYER:
            raise ValueError(f"layers: goes with on: {', '.join(PER_LAYER)}")
        if (self.reach is None) != (self.over is None):
            raise ValueError("reach, over: go together: the error that is reached, and what is counted until it is")
        if self.reach is not None and self.kind == "equal":
            raise ValueError("is: equal is for measures, which have no spread; what it takes to reach an error has")
        return self
