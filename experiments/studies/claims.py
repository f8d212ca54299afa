"""A study's metric and claims, checked before anything is built: what is compared, and of which arms."""

from collections.abc import Mapping

from omegaconf import DictConfig

from experiments.errors import StudyError, UserError
from experiments.runs.configuration import nearest
from experiments.runs.metrics import METRICS, PROBED_DIFFERENCES, RECORDED, key_of
from experiments.studies.contrasts import parse_contrast
from experiments.studies.measured import PREFIX
from experiments.studies.named_claim import NamedClaim
from experiments.studies.reaching import check_reach
from experiments.studies.study import Study


def claims_of(study: Study) -> list[NamedClaim]:
    """Return the claims of a study, ready to be judged.

    Raises:
        UserError: a contrast that cannot be read, of an arm that there is not, on a metric that no run records, with a
            margin that a ratio cannot have, or over what cannot be counted; one line that begins with the claim.
    """
    found = []
    for name, claim in study.claims.items():
        on = claim.on or study.metric
        if not on.startswith(PREFIX) and on not in RECORDED:
            known = [*RECORDED, f"{PREFIX}parameters", f"{PREFIX}macs", f"{PREFIX}receptive_field"]
            raise StudyError(f"claims.{name}.on={on}: no run records it; {nearest(on, known)}")
        if claim.kind == "equal" and not on.startswith(PREFIX):
            raise StudyError(
                f"claims.{name}.is=equal: {on} varies with the seed and is never exactly equal; "
                "is: equivalent, with a margin, says that two arms are as good as equal"
            )
        arms = study.arm_names if claim.reach is None else check_reach(study, name, claim)
        try:
            found.append(
                NamedClaim(
                    name,
                    parse_contrast(claim.contrast, arms, alone=on in PROBED_DIFFERENCES),
                    claim.kind,
                    margin=claim.margin or 0,
                    target=claim.to,
                    better=claim.better,
                    exact=on.startswith(PREFIX),
                )
            )
        except (UserError, ValueError) as error:
            raise StudyError(f"claims.{name}: {error}") from error
    return found


def check_asked(study: Study, arms: Mapping[str, DictConfig]) -> None:
    """Refuse a claim on what the runs of one of its arms are not asked to look at.

    Raises:
        UserError: one line.
    """
    for claim in claims_of(study):
        on = study.claims[claim.name].on or study.metric
        key = key_of(on)
        concerned = arms if study.claims[claim.name].over else claim.contrast.arms
        for arm in concerned:
            if key is not None and not arms[arm][key]:
                raise StudyError(f"claims.{claim.name}.on={on}: {arm} records it with {key} alone, which is off")


def check_metric(study: Study) -> None:
    """Refuse a metric that no run records.

    Raises:
        UserError: one line.
    """
    if study.metric not in METRICS:
        raise StudyError(f"metric={study.metric}: no run records it; {nearest(study.metric, METRICS)}")
