"""Send what runs recorded but MLflow does not have yet, and mark dead runs KILLED (or as their result says).

whydeep sync
whydeep sync runs_dir=runs uri=http://127.0.0.1:5000

Runs that a store was sent and does not have any more (a data base moved away or deleted) are sent to it again, all of
them; those in its trash are not, for somebody put them there.

keys:
  runs_dir=runs   where runs are recorded
  uri=…           send all runs to this store instead of the one that each is recorded in, from their beginnings;
                  a run that it has already is completed, not doubled. From then on it is the one they are recorded in
A run that another process is writing is left to that process. Exit code 1 when something could not be sent.
"""

import sys
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

    from experiments.runs.settle import ended_by  # noqa: PLC0415 - what --help and mistakes save
    from experiments.tracking.card import read_card, run_dirs  # noqa: PLC0415 - what --help and mistakes save
    from experiments.tracking.leftovers import began, has_journal, has_pending, reconcile  # noqa: PLC0415

    sync = _Sync(runs_dir, keys["uri"])
    for run_dir in reconcile(runs_dir, ended_by):
        status = "KILLED" if (card := read_card(run_dir)) is None else card.status
        print(f"{run_dir.name}: its process is dead, marked {status}")
    if (silent := sync.silent_store()) is not None:
        print(f"uri={silent}: does not answer; nothing is sent", file=sys.stderr)
        return 1
    recorded = [(path, card) for path in run_dirs(runs_dir) if (card := read_card(path)) and has_journal(path)]
    sync.look_for_lost(recorded)
    waiting = [
        (path, card) for path, card in recorded if sync.is_elsewhere(card) or path in sync.lost or has_pending(path)
    ]
    # In the order in which they began: a run that nests under another needs that one in the store.
    waiting.sort(key=lambda found: began(found[0]))
    complete = [sync.send(run_dir, card) for run_dir, card in waiting] + [not sync.unknown]
    if not waiting and not sync.unknown:
        # A copied folder still belongs to the store of the one that it was copied from.
        where = ", ".join(sorted({card.uri for _, card in recorded if card.uri is not None}))
        print(f"{runs_dir}: everything is sent ({len(recorded)} runs{' to ' if where else ''}{where})")
    return 0 if all(complete) else 1


class _Sync:
    """Sends runs to the stores they belong to, and stops asking a store that does not answer.

    Attributes:
        lost: directories of the runs that were sent to a store which does not have them any more.
        unknown: whether a store could not be asked for what it was sent.
    """

    def __init__(self, runs_dir: Path, uri: str | None) -> None:
        self._runs_dir = runs_dir
        self._uri = uri
        self._usual = self._usual_destination()
        self._stores: dict[str, Store] = {}
        self._away: set[str] = set()
        self.lost: set[Path] = set()
        self.unknown = False

    def silent_store(self) -> str | None:
        """The store that all runs are to be sent to, without a password, if it does not answer: runs keep theirs."""
        if self._uri is None or self._store(self._usual).answers():
            return None
        return self._usual.shown_uri

    def is_elsewhere(self, card: "RunCard") -> bool:
        """Whether a run is recorded in another store than the one that all are to be sent to."""
        return self._uri is not None and card.uri != self._usual.shown_uri

    def look_for_lost(self, recorded: "Sequence[tuple[Path, RunCard]]") -> None:
        """Ask each store for the runs that were sent to it, and say in one line where it lacks some."""
        from experiments.tracking.addresses import check_usable  # noqa: PLC0415 - imported late, as above
        from experiments.tracking.search import Search  # noqa: PLC0415
        from experiments.tracking.store_errors import RefusedError, RunGoneError, StoreAwayError  # noqa: PLC0415

        sent: dict[str, list[tuple[str, Path]]] = {}
        destinations: dict[str, Destination] = {}
        for run_dir, card in recorded:
            destination = None if self.is_elsewhere(card) else self._destination(card)
            if card.run_id is not None and destination is not None:
                destinations[destination.uri] = destination
                sent.setdefault(destination.uri, []).append((card.run_id, run_dir))
        for uri, runs in sent.items():
            destination = destinations[uri]
            shown = destination.shown_uri
            try:
                check_usable(uri, "uri")
                gone = set(Search(self._store(destination)).lost([run_id for run_id, _ in runs]))
            except (UserError, StoreAwayError, RefusedError, RunGoneError) as error:
                why = str(error).removeprefix(f"uri={shown}: ")
                print(f"{shown}: cannot be asked for the {len(runs)} runs sent to it: {why}")
                self._away.add(uri)
                self.unknown = True
                continue
            self.lost |= {run_dir for run_id, run_dir in runs if run_id in gone}
            if gone:
                print(f"{shown}: has lost {len(gone)} of {len(runs)} runs sent to it; sent again now")

    def send(self, run_dir: Path, card: "RunCard") -> bool:
        """Send one run; whether its store has all of it now, or will get it from a living process."""
        from experiments.tracking.leftovers import send_leftover  # noqa: PLC0415 - imported late, as above

        destination = self._destination(card)
        if destination is None:
            print(f"{run_dir.name}: not sent, the password of {card.uri} is not kept; give uri=…")
            return False
        uri = destination.uri
        if uri in self._away:
            print(f"{run_dir.name}: not sent, {destination.shown_uri} does not answer")
            return False
        store = self._store(destination)
        try:
            delivery = send_leftover(run_dir, store, lost=run_dir in self.lost)
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

    def _store(self, destination: "Destination") -> "Store":
        from experiments.tracking.store import Store  # noqa: PLC0415 - imported late, as above

        return self._stores.setdefault(destination.uri, Store(destination, timeout_seconds=10.0))

    def _destination(self, card: "RunCard") -> "Destination | None":
        from experiments.tracking.credentials import is_masked  # noqa: PLC0415 - imported late, as above
        from experiments.tracking.options import TrackingOptions  # noqa: PLC0415

        if self._uri is not None or card.uri is None or card.uri == self._usual.shown_uri:
            return self._usual
        if is_masked(card.uri):
            return None
        options = TrackingOptions(uri=card.uri, artifact_root=card.artifact_root, runs_dir=str(self._runs_dir))
        return options.destination()

    def _usual_destination(self) -> "Destination":
        from experiments.tracking.addresses import check_usable  # noqa: PLC0415 - imported late, as above
        from experiments.tracking.options import TrackingOptions  # noqa: PLC0415

        if self._uri is not None:
            check_usable(self._uri, "uri")
        return TrackingOptions(uri=self._uri, runs_dir=str(self._runs_dir)).destination()
