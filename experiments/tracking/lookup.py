"""From what a person types to a run's directory, fetched from the store when it is not on this machine."""

import difflib
import shutil
from dataclasses import dataclass
from pathlib import Path

from experiments.errors import UserError
from experiments.tracking.addresses import sqlite_file
from experiments.tracking.card import FILE_NAME as CARD_NAME
from experiments.tracking.card import CardFile, RunCard, read_card, run_dirs
from experiments.tracking.locks import exclusive
from experiments.tracking.options import TrackingOptions
from experiments.tracking.store import FetchedRun, Store
from experiments.tracking.store_errors import RefusedError, RunGoneError, StoreAwayError

_DOWNLOADS = "downloaded"
_FEWEST_DIGITS = 4
_SHOWN = 5


@dataclass(frozen=True)
class _FoundRun:
    run_dir: Path
    card: RunCard


def find_run(runs_dir: Path, reference: str, options: TrackingOptions | None = None) -> Path:
    """The directory of the run that a reference means.

    Runs under ``runs_dir`` are looked through first. One that is only in the store has its artifacts (configuration,
    checkpoint) downloaded into ``<runs_dir>/downloaded/<run id>``.

    Args:
        runs_dir: the folder of all runs.
        reference: an MLflow run id, a unique beginning of one (4 characters or more), a run's name, or its directory.
        options: which store to ask; None for the usual one of ``runs_dir``.

    Raises:
        UserError: no run, or more than one, is meant; close matches are named.
    """
    if not reference.strip():
        raise UserError("run=: give a run id, the beginning of one, a run's name or its directory")
    directory = Path(reference)
    if directory.is_dir() and read_card(directory) is not None:
        return directory
    local = [_FoundRun(run_dir, card) for run_dir in run_dirs(runs_dir) if (card := read_card(run_dir)) is not None]
    found = _matching(local, reference, runs_dir)
    if len(found) > 1:
        shown = ", ".join(f"{_id(run)[:8]} ({run.card.status}, {run.run_dir})" for run in found[:_SHOWN])
        raise UserError(f"run={reference}: {len(found)} runs are meant, give more of a run id: {shown}")
    if found:
        return found[0].run_dir
    options = TrackingOptions(runs_dir=str(runs_dir)) if options is None else options
    problem = f"no such run in {runs_dir}"
    if options.deliver:
        store = Store(options.destination(), options.timeout_seconds)
        try:
            fetched = _ask(store, reference)
        except StoreAwayError as error:
            problem += f", and the store {store.destination.shown_uri} cannot be asked ({error})"
        else:
            if fetched is not None:
                return _download(runs_dir, store, fetched)
            problem += f" nor in {store.destination.shown_uri}"
    begin_so = [run for run in local if _id(run).startswith(reference)]
    if begin_so:
        ids = f"the ids of {len(begin_so)} runs" if len(begin_so) > 1 else "the id of one run"
        raise UserError(
            f"run={reference}: begins {ids} in {runs_dir}; give {_FEWEST_DIGITS} characters or more, "
            f"such as {_id(begin_so[0])[:8]}"
        )
    known = sorted({run.card.name for run in local} | {_id(run) for run in local})
    close = difflib.get_close_matches(reference, known, n=3, cutoff=0.5)
    raise UserError(f"run={reference}: {problem}{_advice(close, known)}")


def _matching(local: list[_FoundRun], reference: str, runs_dir: Path) -> list[_FoundRun]:
    exact = [run for run in local if reference in {run.card.run_id, run.card.key, run.card.name}]
    # A run of a study is called by its arm and seed in the store; its directory has another name.
    exact = exact or [run for run in local if reference == run.run_dir.name and run.run_dir.parent == runs_dir]
    if exact or len(reference) < _FEWEST_DIGITS:
        return exact
    return [run for run in local if _id(run).startswith(reference)]


def _id(run: _FoundRun) -> str:
    return run.card.run_id or run.card.key


def _ask(store: Store, reference: str) -> FetchedRun | None:
    file = sqlite_file(store.destination.uri)
    if file is not None and not file.exists():
        return None
    try:
        found = store.find_runs(reference)
    except (RunGoneError, RefusedError):
        return None
    if len(found) > 1:
        shown = ", ".join(f"{run.run_id} ({run.status})" for run in found[:_SHOWN])
        raise UserError(f"run={reference}: {len(found)} runs in the store have this name, give a run id: {shown}")
    return found[0] if found else None


def _download(runs_dir: Path, store: Store, run: FetchedRun) -> Path:
    target = runs_dir / _DOWNLOADS / run.run_id
    target.parent.mkdir(parents=True, exist_ok=True)
    # The processes of one run may all want it.
    with exclusive(target.with_name(f"{run.run_id}.lock")):
        return target if read_card(target) is not None else _fetched(target, store, run)


def _fetched(target: Path, store: Store, run: FetchedRun) -> Path:
    draft = target.with_name(f"{run.run_id}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        store.download_artifacts(run.run_id, draft)
    except (StoreAwayError, RefusedError, RunGoneError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise UserError(f"run={run.run_id}: its artifacts cannot be fetched ({error})") from error
    card = RunCard(
        key=run.key,
        name=run.name,
        experiment=run.experiment,
        status=run.status,
        uri=store.destination.shown_uri,
        experiment_id=run.experiment_id,
        run_id=run.run_id,
    )
    (draft / CARD_NAME).unlink(missing_ok=True)
    CardFile(draft, card).update()
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    return target


def _advice(close: list[str], known: list[str]) -> str:
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; there are {len(known)} names and ids, such as {known[0]}" if known else "; nothing is recorded there yet"
