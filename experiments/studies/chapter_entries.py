"""The studies of a chapter as they are told: what became of each, or why there is nothing of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from experiments.errors import UserError
from experiments.studies.chapter import Chapter
from experiments.studies.claims_said import Judged
from experiments.studies.gather import Gathered, NotRecordedError, gather
from experiments.studies.judging import judged
from experiments.studies.study import Study
from experiments.studies.study_file import read_study
from experiments.tracking.search import Search
from experiments.tracking.store_errors import StoreAwayError


@dataclass(frozen=True)
class Entry:
    """One study of the chapter as the book shows it.

    Attributes:
        name: of the study.
        study: as it was asked, or would be.
        gathered: what became of it; `None` where nothing is recorded.
        verdicts: by the name of the claim.
        drawings: of its report, where that has been written before.
        reason: why there is nothing of it, or less than there should be.
    """

    name: str
    study: Study
    gathered: Gathered | None = None
    verdicts: Mapping[str, Judged] = field(default_factory=dict)
    drawings: Sequence[Mapping[str, object]] = ()
    reason: str = ""


def read_entries(search: Search, chapter: Chapter, varied: str, scale: str) -> dict[str, Entry]:
    """Read all studies of the chapter from MLflow, as far as they are recorded.

    Args:
        search: of the store.
        chapter: which studies.
        varied: which of their variations, see `membership.variation`.
        scale: likewise; for what the files of the studies say at it.

    Raises:
        UserError: the store cannot be asked.
    """
    entries = {}
    for name in chapter.studies:
        try:
            gathered = gather(search, name, varied)
            entries[name] = Entry(name, gathered.written.study, gathered, judged(gathered))
        except NotRecordedError:
            entries[name] = not_there(name, scale, "not recorded yet")
        except UserError as error:
            if isinstance(error.__cause__, StoreAwayError):
                raise
            entries[name] = not_there(name, scale, str(error).removeprefix(f"{name}: "))
    return entries


def not_there(name: str, scale: str, reason: str) -> Entry:
    """Return the entry of a study of which nothing is recorded; its question is that of its file."""
    study = read_study(name)
    return Entry(name, study.at_scale(scale) if scale in study.scales else study, reason=reason)
