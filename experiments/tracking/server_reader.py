"""Many runs read from a tracking server, by MLflow's REST interface.

The answers are what MLflow's client is given too. It makes a protocol buffer of each value of each run in Python, and
its own objects of those: for ten thousand runs 19 seconds and a gigabyte, where reading the JSON takes four seconds.
The server needs longer than either, so that it is asked several things at once: each of its workers answers one.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from experiments.tracking import conditions
from experiments.tracking.store import Store
from experiments.tracking.store_errors import StoreAwayError, translated
from experiments.tracking.stored_run import StoredRun, Wanted, chunks

PAGE = 500  # runs of one answer, which a busy server's supervisor has patience for
CHUNK = 200  # run ids of one condition
AT_ONCE = 4  # questions; as many as a server has workers, unless told otherwise
FIRST_DIGITS = "0123456789abcdef"  # of run ids, which are drawn at random
HISTORY_PAGE = 25000  # points of one answer; the most that MLflow allows
_RUNS = "/api/2.0/mlflow/runs/search"
_HISTORY = "/api/2.0/mlflow/metrics/get-history"
_GOOD = 200  # of HTTP
TRIES = 3  # of a question, while others get answers
PAUSE = 1.0  # seconds before another try

Answer = TypeVar("Answer")


class ServerReader:
    """Reads from one server; see `stored_run.Reader`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def tagged(self, tags: Mapping[str, str], wanted: Wanted) -> list[StoredRun]:
        """The runs that carry all of `tags`."""
        condition = conditions.tagged(tags)
        keep = _Keep(wanted, tags)
        experiments = self._store.experiment_ids()
        found, more = self._page(condition, experiments, keep)
        if not more:
            return found
        # A page says where the next one begins, so that only parts can be asked for at once.
        parts = [f"{condition} and attributes.run_id LIKE '{digit}%'" for digit in FIRST_DIGITS]
        return self._all_at_once(lambda part: self._pages(part, experiments, keep), parts)

    def named(self, run_ids: Sequence[str], wanted: Wanted) -> list[StoredRun]:
        """The runs that have these ids."""
        if not run_ids:
            return []
        keep = _Keep(wanted)
        experiments = self._store.experiment_ids()
        parts = [conditions.has_id_of(chunk) for chunk in chunks(run_ids, CHUNK)]
        return self._all_at_once(lambda part: self._pages(part, experiments, keep), parts)

    def points(self, run_ids: Sequence[str], metric: str) -> Iterator[tuple[str, int, float]]:
        """Run id, step and value of what runs recorded of a metric."""
        yield from self._all_at_once(lambda run_id: self._history(run_id, metric), run_ids)

    def _all_at_once(self, ask: Callable[[str], list[Answer]], parts: Sequence[str]) -> list[Answer]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [answer for answers in pool.map(ask, parts) for answer in answers]

    def _pages(self, condition: str, experiments: Sequence[str], keep: "_Keep") -> list[StoredRun]:
        found, token = self._page(condition, experiments, keep)
        while token:
            more, token = self._page(condition, experiments, keep, token)
            found += more
        return found

    def _page(
        self, condition: str, experiments: Sequence[str], keep: "_Keep", token: str | None = None
    ) -> tuple[list[StoredRun], str | None]:
        question = {
            "experiment_ids": experiments,
            "filter": condition,
            "max_results": PAGE,
            "order_by": ["attributes.start_time ASC"],
            "page_token": token,
        }
        answer = self._ask("POST", _RUNS, json={key: value for key, value in question.items() if value is not None})
        return keep.of(answer.get("runs", [])), answer.get("next_page_token")

    def _history(self, run_id: str, metric: str) -> list[tuple[str, int, float]]:
        question = {"run_id": run_id, "metric_key": metric, "max_results": HISTORY_PAGE}
        points: list[dict[str, Any]] = []
        while True:
            answer = self._ask("GET", _HISTORY, params=question)
            points += answer.get("metrics", [])
            if not answer.get("next_page_token"):
                break
            question["page_token"] = answer["next_page_token"]
        points.sort(key=lambda point: int(point.get("timestamp", 0)))
        return [(run_id, int(point.get("step", 0)), float(point.get("value", 0.0))) for point in points]

    def _ask(self, method: str, endpoint: str, **question: object) -> dict[str, Any]:
        """Ask, and ask again where the server dropped the question: one of its workers may have been replaced."""
        for _ in range(TRIES - 1):
            try:
                return self._ask_once(method, endpoint, question)
            except StoreAwayError:
                time.sleep(PAUSE)
        return self._ask_once(method, endpoint, question)

    def _ask_once(self, method: str, endpoint: str, question: Mapping[str, object]) -> dict[str, Any]:
        from mlflow.utils.rest_utils import http_request, verify_rest_response  # noqa: PLC0415 - MLflow is imported late

        with translated():
            # What MLflow's client sends with its requests, this sends too: logins, certificates, headers of plugins.
            response = http_request(  # type: ignore[no-untyped-call]
                self._login, endpoint, method, timeout=self._store.patience, raise_on_status=False, **question
            )
            content = _object(response.content) if response.status_code == _GOOD else None
            if content is None:
                # Raises but for an answer without content, and reads the whole answer once for that.
                content = verify_rest_response(response, endpoint).json()
            return content

    @cached_property
    def _login(self) -> Any:  # noqa: ANN401 - MLflow's
        _ = self._store.client  # sets what MLflow reads from the environment
        from mlflow.utils.credentials import get_default_host_creds  # noqa: PLC0415 - as above

        return get_default_host_creds(self._store.destination.uri)  # type: ignore[no-untyped-call]


def _object(content: bytes) -> dict[str, Any] | None:
    """Return what an answer holds; None where it is anything else, such as the page of a login."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


@dataclass(frozen=True)
class _Keep:
    """What to keep of the runs of an answer: those that carry all of `tags`, and of them what is wanted."""

    wanted: Wanted
    tags: Mapping[str, str] = field(default_factory=dict)

    def of(self, runs: Sequence[dict[str, Any]]) -> list[StoredRun]:
        found = []
        for run in runs:
            info, data = run["info"], run.get("data", {})
            tags = {tag["key"]: tag.get("value", "") for tag in data.get("tags", [])}
            if not self.tags.items() <= tags.items():
                continue
            # Servers may leave a zero out, as they do with other values that are nothing.
            values = {one["key"]: one.get("value", 0.0) for one in data.get("metrics", [])}
            end = int(info.get("end_time", 0))
            found.append(
                StoredRun(
                    run_id=info["run_id"],
                    experiment_id=info["experiment_id"],
                    name=info.get("run_name", ""),
                    status=info["status"],
                    start=int(info.get("start_time", 0)) / 1000,
                    end=end / 1000 if end else None,
                    artifacts=info.get("artifact_uri", ""),
                    tags={name: tags[name] for name in self.wanted.tags if name in tags},
                    # A number that is none comes as a word.
                    metrics={name: float(values[name]) for name in self.wanted.metrics if name in values},
                )
            )
        return found
