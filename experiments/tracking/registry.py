"""From the name of a registered model to its files: MLflow's model registry."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from experiments.errors import UserError
from experiments.tracking.addresses import sqlite_file
from experiments.tracking.locks import exclusive
from experiments.tracking.options import TrackingOptions
from experiments.tracking.store import Store
from experiments.tracking.store_errors import RefusedError, RunGoneError, StoreAwayError

SCHEME = "models:/"
_REFERENCE = re.compile(r"models:/(?P<name>[^/@:]+)(?:/(?P<version>[1-9]\d*)|@(?P<alias>[^/@]+))")
_DOWNLOADS = Path("downloaded") / "models"


@dataclass(frozen=True)
class FetchedModel:
    """A version of a registered model, on this machine.

    Attributes:
        folder: holds its files.
        name: of the registered model.
        version: its number.
        run_id: of the run that it comes from; `None` where it does not say so.
    """

    folder: Path
    name: str
    version: str
    run_id: str | None

    @property
    def reference(self) -> str:
        """What means this version, and will mean no other."""
        return f"{SCHEME}{self.name}/{self.version}"


def check_model_reference(key: str, reference: str) -> None:
    """Refuse what cannot mean a version of a registered model.

    Raises:
        UserError: one line that names `key` and what is allowed.
    """
    if _REFERENCE.fullmatch(reference) is None:
        raise UserError(f"{key}={reference}: must be models:/NAME/VERSION or models:/NAME@ALIAS")


def fetch_model(key: str, reference: str, options: TrackingOptions) -> FetchedModel:
    """Fetch the files of a version of a registered model into `<runs_dir>/downloaded/models`.

    A version never changes, so that its files are fetched once; one that was registered anew under the name and number
    of a deleted one is another version.

    Args:
        key: that `reference` is the value of; errors name it.
        reference: `models:/NAME/VERSION` or `models:/NAME@ALIAS`.
        options: which store to ask.

    Raises:
        UserError: no such model, or it cannot be fetched now.
    """
    check_model_reference(key, reference)
    found = _REFERENCE.fullmatch(reference)
    assert found is not None  # noqa: S101 - checked
    store = Store(options.destination(), options.timeout_seconds)
    where = store.destination.shown_uri
    file = sqlite_file(store.destination.uri)
    if file is not None and not file.exists():
        raise UserError(f"{key}={reference}: nothing is recorded in {where} yet")
    try:
        version = store.model_version(found["name"], version=found["version"], alias=found["alias"])
    except (RunGoneError, RefusedError) as error:
        raise UserError(f"{key}={reference}: no such registered model in {where} ({error})") from error
    except StoreAwayError as error:
        raise UserError(f"{key}={reference}: the store {where} cannot be asked ({error})") from error
    model = FetchedModel(
        Path(options.runs_dir) / _DOWNLOADS / version.name / f"{version.number}-{version.created}",
        version.name,
        version.number,
        version.run_id,
    )
    model.folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(model.folder.with_suffix(".lock")):
        if not model.folder.exists():
            draft = model.folder.with_suffix(".part")
            shutil.rmtree(draft, ignore_errors=True)
            try:
                store.download(version.place, draft)
            except (StoreAwayError, RefusedError, RunGoneError) as error:
                shutil.rmtree(draft, ignore_errors=True)
                raise UserError(f"{key}={reference}: its files cannot be fetched ({error})") from error
            draft.rename(model.folder)
    return model
