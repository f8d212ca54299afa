"""A study made ready: all of it checked that can be known without its networks and data, which takes no second."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.errors import StudyError, UserError
from experiments.runs.overrides import override_key
from experiments.studies.claims import check_asked, check_metric, claims_of
from experiments.studies.plan import PlannedArm, plan_arms
from experiments.studies.study import Study
from experiments.studies.study_file import read_study, said_of, study_file
from experiments.studies.study_parts import LAPTOP, Budget

NO_RERUN = "rerun: a study runs what is missing; `whydeep reproduce study=NAME` runs it again, and compares"
# Where the runs of a study are recorded, and whether they are run at all: they would not be found together.
OF_ALL = ("checkpoint_minutes", "experiment", "rerun", "resume", "runs_dir", "tracking")
# Of these, what is another's on another machine or another day: `whydeep report NAME` would look in the usual place.
OF_COMMAND = ("resume", "runs_dir", "tracking")
WITHOUT_EFFECT = ("choices", "hydra")


@dataclass(frozen=True)
class Prepared:
    """A study of `conf/study` made ready.

    Attributes:
        name: of the study.
        study: what is asked, at its scale and with its seeds.
        scale: at which it runs.
        arms: composed.
        overrides: for all arms, from the command line.
    """

    name: str
    study: Study
    scale: str
    arms: tuple[PlannedArm, ...]
    overrides: tuple[str, ...]


def prepared(name: str, scale: str | None, seeds: int | list[int] | None, overrides: Sequence[str]) -> Prepared:
    """Read a study and make it ready, as a command line asks for it.

    Args:
        name: of the study.
        scale: `None` for the study as it is written.
        seeds: other ones than the study's; `None` for its own.
        overrides: for all arms.

    Raises:
        UserError: no such study or scale, or one line on what is wrong with the study, with its file.
    """
    chosen = scale or LAPTOP
    as_written = read_study(name)
    study = as_written.at_scale(chosen)
    if seeds is not None:
        study = study.with_seeds(seeds)
    with said_of(study_file(name)):
        check_scales(as_written, name, but=chosen)
        arms = prepare(study, name, overrides)
    return Prepared(name, study, chosen, tuple(arms), tuple(overrides))


def told_of(name: str, error: UserError) -> UserError:
    """Return a mistake as that of the study called `name`, unless it names its file already."""
    text = str(error)
    return error if f"{name}.yaml" in text.split(":", maxsplit=1)[0] else UserError(f"{name}: {text}")


def check_scales(study: Study, name: str, but: str) -> None:
    """Compose a study at all of its scales `but` one, so that a mistake is found before somebody chooses it.

    Raises:
        StudyError: an override of a scale that cannot be.
    """
    for scale in study.scales:
        if scale != but:
            try:
                prepare(_with_any_size(study.at_scale(scale)), name, ())
            except UserError as error:
                raise StudyError(f"scale {scale}: {error}") from error


def _with_any_size(study: Study) -> Study:
    """Return a study without its budget of weights or MACs, which is met for data that another scale does without."""
    if study.budget.equal not in ("parameters", "macs"):
        return study
    return study.model_copy(update={"budget": Budget()})


def prepare(study: Study, name: str, overrides: Sequence[str]) -> list[PlannedArm]:
    """Compose the arms of a study.

    Args:
        study: what is asked, at its scale and with its seeds.
        name: of the study; of its experiment in MLflow, too, unless somebody wants it in another.
        overrides: for all arms, from the command line.

    Raises:
        UserError: an arm, a claim, a budget or an override that cannot be; a `StudyError` where the study is wrong.
    """
    if any(override_key(each) == "rerun" for each in overrides):
        raise UserError(NO_RERUN)
    _refuse_execution(study)
    check_metric(study)
    claims_of(study)
    said = any(override_key(each) == "experiment" for each in (*study.overrides, *overrides))
    arms = plan_arms(study, [*overrides, *([] if said else [f"experiment={name}"])])
    check_asked(study, {arm.name: arm.cfg for arm in arms})
    return arms


def _refuse_execution(study: Study) -> None:
    """Refuse what the file of a study says of how and where it is executed, which is for the command line to say."""
    for each in study.overrides:
        root = _root(each)
        if root == "rerun":
            raise StudyError(NO_RERUN)
        if root in WITHOUT_EFFECT:
            raise StudyError(f"override {each}: without effect on a study")
        if root in OF_COMMAND:
            raise StudyError(
                f"override {each}: is of how a study is executed, not of what it asks; give it on the command line"
            )
    for cell in study.cells:
        for each in cell.overrides:
            if _root(each) in WITHOUT_EFFECT:
                raise StudyError(f"arm {cell.name}: override {each}: without effect on a study")
            if _root(each) in OF_ALL:
                raise StudyError(f"arm {cell.name}: override {each}: is of a study as a whole, not of one of its arms")


def _root(override: str) -> str:
    return re.split(r"[./@]", override_key(override), maxsplit=1)[0]
