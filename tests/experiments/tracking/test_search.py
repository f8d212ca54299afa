"""A data base, a tracking server and MLflow's client are read alike, whatever stands in a tag."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils import rest_utils

from experiments.benchmarks.large_study import NAME
from experiments.studies.gather import Gathered, gather
from experiments.studies.membership import AS_WRITTEN
from experiments.tracking import client_reader, server_reader
from experiments.tracking.client_reader import ClientReader
from experiments.tracking.database_reader import DatabaseReader
from experiments.tracking.options import TrackingOptions
from experiments.tracking.search import Search
from experiments.tracking.server_reader import ServerReader
from experiments.tracking.store import Store
from experiments.tracking.store_errors import RefusedError, StoreAwayError
from experiments.tracking.stored_run import Reader, StoredRun, Wanted
from tests.experiments.studies import stored
from tests.experiments.tracking.server import Server

AWKWARD = [
    "it's",
    "model.note='it''s'",
    'say "x"',
    "both ' and \"",
    "both ' and \" " + "\\",
    "100%",
    "under_score",
    "back\\slash",
    "\\",
    '\\"',
    "a and b; -- c",
]
# Of as many characters as one of them, and more than are asked for at once by their name.
SHORT = [f"{number:02}" for number in range(25)]
LIKE_THEM = [*SHORT, "its", "both _ and _", "both x and y", "both ' and x", "100", "underXscore", "backslash", "IT'S"]
WANTED = Wanted(("whydeep.seed", "note"), ("test/top1_error", "measure/macs", "odd", "none"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    """The same store as a data base and as a server: a small study, and runs whose tags are hard to ask for."""
    folder = tmp_path_factory.mktemp("served")
    stored.make(folder)
    database = Store(TrackingOptions(runs_dir=str(folder)).destination(), 10.0)
    client = MlflowClient(database.destination.uri)
    for value in [*AWKWARD, *LIKE_THEM]:
        run = client.create_run("0", tags={"note": value, "kind": "awkward"}, run_name=value)
        client.log_metric(run.info.run_id, "odd", math.nan if value == "100%" else math.inf)
    client.delete_run(client.create_run("0", tags={"note": "it's", "kind": "awkward"}).info.run_id)
    server = Server(folder)
    server.start()
    yield database, Store(TrackingOptions(uri=server.uri, runs_dir=str(folder)).destination(), 10.0)
    server.kill()


@pytest.fixture
def readers(served: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch) -> dict[str, Reader]:
    """All ways to read it; a page holds fewer runs than the study has, a condition fewer ids."""
    database, server = served
    for module in (client_reader, server_reader):
        monkeypatch.setattr(module, "PAGE", 2)
        monkeypatch.setattr(module, "CHUNK", 4)
    return {
        "data base": DatabaseReader(database),
        "server": ServerReader(server),
        "client of the data base": ClientReader(database),
        "client of the server": ClientReader(server),
    }


def _text(answer: object) -> str:
    """An answer as text, which equals another's where its numbers are none."""
    if isinstance(answer, StoredRun):
        answer = replace(answer, tags=dict(sorted(answer.tags.items())), metrics=dict(sorted(answer.metrics.items())))
    return repr(answer)


def _of_all(readers: dict[str, Reader], ask: Callable[[Reader], list[object]]) -> list[str]:
    answers = {name: sorted(map(_text, ask(reader))) for name, reader in readers.items()}
    assert all(answer == answers["data base"] for answer in answers.values()), answers
    return answers["data base"]


def test_runs_and_courses_are_the_same_over_all_ways(
    readers: dict[str, Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = _of_all(readers, lambda reader: list(reader.tagged({"whydeep.study": NAME}, WANTED)))
    assert len(runs) == stored.ARMS * stored.SEEDS + 1
    ids = [run.run_id for run in readers["data base"].tagged({"whydeep.arm": "arm00"}, WANTED)]
    assert len(ids) == stored.SEEDS
    some = [*ids[:2], "f" * 32, "no 'id'"]
    assert len(_of_all(readers, lambda reader: list(reader.named(some, WANTED)))) == 2
    points = _of_all(readers, lambda reader: list(reader.points(ids, "val/top1_error")))
    assert len(points) == 10 * stored.SEEDS
    monkeypatch.setattr(server_reader, "HISTORY_PAGE", 3)
    assert _of_all(readers, lambda reader: list(reader.points(ids, "val/top1_error"))) == points
    assert _of_all(readers, lambda reader: list(reader.points(ids, "unknown"))) == []
    assert _of_all(readers, lambda reader: list(reader.named([], WANTED))) == []


@pytest.mark.parametrize("value", AWKWARD)
def test_a_tag_is_found_whatever_stands_in_it(readers: dict[str, Reader], value: str) -> None:
    (found,) = _of_all(readers, lambda reader: list(reader.tagged({"note": value, "kind": "awkward"}, WANTED)))
    assert f"'note': {value!r}" in found
    assert ("nan" if value == "100%" else "'odd': 1.79") in found


def test_a_run_is_found_by_its_name_whatever_stands_in_it(served: tuple[Store, Store]) -> None:
    for store in served:
        for value in AWKWARD:
            assert [run.name for run in store.find_runs(value)] == [value]


def test_a_study_is_gathered_from_a_server_as_from_a_data_base(
    served: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_reader, "PAGE", 4)
    direct, asked = (gather(Search(store), NAME, AS_WRITTEN) for store in served)

    def of(found: Gathered) -> object:
        return found.comparison, found.environments, {run: list(line) for run, line in found.curves.by_run.items()}

    assert of(asked) == of(direct)
    assert len(direct.curves.by_run) == stored.ARMS * stored.SEEDS


def test_runs_come_oldest_first(served: tuple[Store, Store]) -> None:
    database, _ = served
    client = MlflowClient(database.destination.uri)
    ids = [client.create_run("0", start_time=start, tags={"kind": "dated"}).info.run_id for start in (3, 1, 2)]
    for store in served:
        assert [run.run_id for run in Search(store).tagged({"kind": "dated"}, wanted_tags=[])] == [
            ids[1],
            ids[2],
            ids[0],
        ]


def test_what_a_server_refuses_is_told_from_one_that_is_away(
    served: tuple[Store, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    ask = rest_utils.http_request

    def counted(*given: object, **named: object) -> object:
        asked.extend(value for value in given if str(value).endswith("/runs/search"))
        return ask(*given, **named)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(rest_utils, "http_request", counted)
    with pytest.raises(RefusedError, match="Invalid"):
        ServerReader(served[1]).tagged({"a `tag`": "x"}, WANTED)
    assert len(asked) == 1
    away = Store(TrackingOptions(uri="http://127.0.0.1:9", runs_dir=str(tmp_path)).destination(), 1.0)
    with pytest.raises(StoreAwayError):
        ServerReader(away).tagged({"a": "x"}, WANTED)


def test_a_question_that_a_server_dropped_is_asked_again(
    served: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[str] = []
    ask = rest_utils.http_request

    def drop_first(*given: object, **named: object) -> object:
        if any(str(value).endswith("/runs/search") for value in given) and not dropped:
            dropped.append("the search")
            raise MlflowException("Remote end closed connection without response")
        return ask(*given, **named)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(rest_utils, "http_request", drop_first)
    monkeypatch.setattr(server_reader, "PAUSE", 0.0)
    assert len(ServerReader(served[1]).tagged({"note": "it's"}, WANTED)) == 1
    assert len(dropped) == 1


def test_a_question_is_waited_for_longer_than_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand runs take a server longer than a batch of numbers."""
    response, waited = requests.Response(), []
    response.status_code, response._content = 200, b"{}"

    def answer(*_: object, timeout: float, **__: object) -> requests.Response:
        waited.append(timeout)
        return response

    monkeypatch.setattr(rest_utils, "http_request", answer)
    monkeypatch.setattr(Store, "experiment_ids", lambda _: ["0"])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    store = Store(TrackingOptions(uri="http://127.0.0.1:9", runs_dir=str(tmp_path)).destination(), 3.0)
    assert ServerReader(store).tagged({"a": "x"}, WANTED) == []
    assert waited == [60]


@pytest.fixture
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ServerReader]:
    """A reader of a server that answers every question with one text."""

    def reader(text: str) -> ServerReader:
        response = requests.Response()
        response.status_code, response._content = 200, text.encode()
        monkeypatch.setattr(rest_utils, "http_request", lambda *_, **__: response)
        monkeypatch.setattr(Store, "experiment_ids", lambda _: ["0"])
        monkeypatch.setattr(server_reader, "PAUSE", 0.0)
        return ServerReader(Store(TrackingOptions(uri="http://127.0.0.1:9", runs_dir=str(tmp_path)).destination(), 1.0))

    return reader


@pytest.mark.parametrize("text", ["<html>log in</html>", "[]"])
def test_a_page_instead_of_an_answer_is_a_server_that_is_away(
    answered: Callable[[str], ServerReader], text: str
) -> None:
    with pytest.raises(StoreAwayError, match="not in a valid JSON format"):
        answered(text).tagged({"a": "x"}, WANTED)


def test_an_answer_without_content_holds_no_runs(answered: Callable[[str], ServerReader]) -> None:
    assert answered("").tagged({"a": "x"}, WANTED) == []


def test_a_value_that_is_left_out_is_zero(answered: Callable[[str], ServerReader]) -> None:
    run = {"info": {"run_id": "1", "experiment_id": "0", "status": "RUNNING"}, "data": {"metrics": [{"key": "odd"}]}}
    (found,) = answered(json.dumps({"runs": [run]})).named(["1"], WANTED)
    assert found.metrics == {"odd": 0.0}
    assert list(answered(json.dumps({"metrics": [{"step": 3}]})).points(["1"], "odd")) == [("1", 3, 0.0)]
