"""One thing that differs between the arms of a study and was not declared."""

from collections.abc import Mapping
from dataclasses import dataclass

SHOWN = 4


@dataclass(frozen=True)
class Confound:
    """What differs (a key, or what is recorded of runs), its value by arm, and the seed whose runs have these values.

    `seed` is `None` where it is the configurations that differ, under every seed.
    """

    what: str
    values: Mapping[str, str]
    seed: int | None = None

    def sentence(self) -> str:
        """Say it in one line; many arms in short."""
        shown = [f"{arm} {value}" for arm, value in list(self.values.items())[:SHOWN]]
        more = len(self.values) - len(shown)
        where = "" if self.seed is None else f" at seed {self.seed}"
        return f"{self.what} differs{where}: {', '.join(shown)}{f' and {more} more arms' if more > 0 else ''}"
