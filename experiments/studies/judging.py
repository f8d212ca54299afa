"""The verdicts on the claims of a study that was read or has just been run."""

from collections.abc import Mapping

from experiments.studies.answers import answer
from experiments.studies.gather import Gathered
from experiments.studies.verdict import Verdict


def judged(gathered: Gathered) -> Mapping[str, Verdict]:
    """Return the verdict on each claim, by its name.

    Raises:
        UserError: a claim that cannot be judged any more, as on a measure that was not written down.
    """
    written = gathered.written
    found = answer(written.study, written.arms, gathered.comparison.replicates, gathered.curves)
    return {verdict.claim: verdict for verdict in found}
