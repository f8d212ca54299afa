"""Send what runs recorded but MLflow does not have yet, and mark dead runs KILLED.

whydeep sync
whydeep sync runs_dir=runs uri=http://127.0.0.1:5000

keys:
  runs_dir=runs   where runs are recorded
  uri=…           send to this store instead of the one that each run is recorded in; a run that it has already is
                  completed, not doubled
A run that another process is writing is left to that process. Exit code 1 when something could not be sent.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.arguments import split_arguments
from experiments.errors import UserError

if TYPE_CHECKING:
    from experiments.tracking.card import RunCard
    from experiments.tracking.options import Destination
    from experiments.tracking.store import Store

KEYS = {"runs_dir": "runs", "uri": None}


def main(argv: Sequence[str]) -> int:
    """Reconcile and send; return the exit code.

    Raises:
        UserError: an unknown key, a folder that does not exist, an address that cannot be a store's.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    keys, others = split_arguments(argv, KEYS)
    if others:
        raise UserError(f"{others[0]}: unknown argument; allowed: {', '.join(f'{key}=…' for key in KEYS)}")
    runs_dir = Path(str(keys["runs_dir"]))
    if not runs_dir.is_dir():
        raise UserError(f"runs_dir={runs_dir}: no such folder; allowed: one that runs were recorded in")

    from experiments.tracking.card import read_card, run_dirs  # noqa: PLC0415 - what --help and mistakes save
    from experiments.tracking.leftovers import has_pending, reconcile  # noqa: PLC0415

    sync = _Sync(runs_dir, keys["uri"])
    for run_dir in reconcile(runs_dir):
        print(f"{run_dir.name}: its process is dead, marked KILLED")
    pending = [(path, card) for path in run_dirs(runs_dir) if has_pending(path) and (card := read_card(path))]
    complete = [sync.send(run_dir, card) for run_dir, card in pending]
    if not pending:
        print(f"{runs_dir}: everything is sent")
    return 0 if all(complete) else 1


class _Sync:
    """Sends runs to the stores they belong to, and stops asking a store that does not answer."""

    def __init__(self, runs_dir: Path, uri: str | None) -> None:
        self._runs_dir = runs_dir
        self._uri = uri
        self._usual = self._usual_destination()
        self._stores: dict[str, Store] = {}
        self._away: set[str] = set()

    def send(self, run_dir: Path, card: "RunCard") -> bool:
        """Send one run; whether its store has all of it now, or will get it from a living process."""
        from experiments.tracking.leftovers import send_leftover  # noqa: PLC0415 - imported late, as above
        from experiments.tracking.store import Store  # noqa: PLC0415

        destination = self._destination(card)
        if destination is None:
            print(f"{run_dir.name}: not sent, the password of {card.uri} is not kept; give uri=…")
            return False
        uri = destination.uri
        if uri in self._away:
            print(f"{run_dir.name}: not sent, {destination.shown_uri} does not answer")
            return False
        store = self._stores.setdefault(uri, Store(destination, timeout_seconds=10.0))
        try:
            delivery = send_leftover(run_dir, store)
        except OSError as error:
            print(f"{run_dir.name}: not sent: {error}")
            return False
        if delivery is None:
            print(f"{run_dir.name}: running, sends by itself")
            return True
        if delivery.error is None:
            print(f"{run_dir.name}: sent to {destination.shown_uri}")
            return True
        print(f"{run_dir.name}: {delivery.pending} records not sent: {delivery.error}")
        if not store.answers():
            self._away.add(uri)
        return False

    def _destination(self, card: "RunCard") -> "Destination | None":
        from experiments.tracking.options import TrackingOptions  # noqa: PLC0415 - imported late, as above

        if self._uri is not None or card.uri is None or card.uri == self._usual.shown_uri:
            return self._usual
        if "***" in card.uri:
            return None
        options = TrackingOptions(uri=card.uri, artifact_root=card.artifact_root, runs_dir=str(self._runs_dir))
        return options.destination()

    def _usual_destination(self) -> "Destination":
        from experiments.tracking.options import TrackingOptions, check_uri  # noqa: PLC0415 - imported late, as above

        if self._uri is not None:
            check_uri(self._uri, "uri")
        return TrackingOptions(uri=self._uri, runs_dir=str(self._runs_dir)).destination()
