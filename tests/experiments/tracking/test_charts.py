"""The charts that every experiment has in MLflow's pages: who writes them when, and in the words of the page's code."""

import json
import logging
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from torch import nn

from experiments.measures.network import measure
from experiments.tracking import charts
from experiments.tracking.charts import NOTE_TAG, VIEW_TAG, charts_link, missing_tags
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.store import Store
from tests.experiments.tracking.mlflow_page import axes, in_page, unpacked

# Of a chart of every type that the page knows; the others stand where its class does.
COMMON_FIELDS = {"uuid", "type", "runsCountToCompare", "metricSectionId", "deleted", "isGenerated", "displayName"}


def shipped() -> dict[str, Any]:
    return unpacked(missing_tags("1", {})[VIEW_TAG])


def experiment_tags(client: MlflowClient) -> dict[str, str]:
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    return dict(experiment.tags)


def store_of(options: TrackingOptions) -> Store:
    return Store(options.destination(), options.timeout_seconds)


def test_the_view_has_the_asked_for_charts_each_in_a_section_of_its_own_page() -> None:
    state = shipped()

    assert {(chart["type"], axes(chart)) for chart in state["compareRunCharts"]} >= {
        ("SCATTER", ("measure/depth", "measure/parameters")),
        ("SCATTER", ("measure/parameters", "measure/receptive_field")),
        ("CONTOUR", ("measure/depth", "measure/parameters", "measure/receptive_field")),
        ("SCATTER", ("measure/depth", "test/top1_error")),
        ("SCATTER", ("measure/parameters", "test/top1_error")),
        ("SCATTER", ("measure/macs", "test/top1_error")),
        (
            "PARALLEL",
            ("measure/depth", "measure/parameters", "measure/receptive_field", "measure/macs", "test/top1_error"),
        ),
        ("LINE", ("val/top1_error",)),
    }
    # The page draws ten runs unless it is told otherwise.
    assert {chart["runsCountToCompare"] for chart in state["compareRunCharts"]} == {100}
    sections = {section["uuid"]: section for section in state["compareRunSections"]}
    assert len(sections) == len(state["compareRunSections"])
    assert len({chart["uuid"] for chart in state["compareRunCharts"]}) == len(state["compareRunCharts"])
    shown = {chart["metricSectionId"] for chart in state["compareRunCharts"]}
    assert shown == {uuid for uuid, section in sections.items() if section["display"]}
    assert len(missing_tags("1", {})[VIEW_TAG]) <= 5000


def test_the_charted_measures_are_recorded_under_these_names() -> None:
    totals = measure(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3)), (1, 8, 8)).totals()

    charted = {key for chart in shipped()["compareRunCharts"] for key in axes(chart) if key.startswith("measure/")}
    assert charted <= {f"measure/{name}" for name in totals}


def test_what_people_made_is_left_alone_and_an_older_view_of_ours_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = missing_tags("7", {})
    assert ours.keys() == {VIEW_TAG, NOTE_TAG}
    assert f"]({charts_link('7')})" in ours[NOTE_TAG]
    assert missing_tags("7", ours) == {}
    assert missing_tags("7", {**ours, NOTE_TAG: ""}) == {}
    assert missing_tags("7", {**ours, NOTE_TAG: "What we asked, and why"}) == {}
    assert missing_tags("7", {NOTE_TAG: "mine", "mlflow.sharedViewState.17955": "{}"}).keys() == {VIEW_TAG}
    by_hand = {name: value for name, value in json.loads(ours[VIEW_TAG]).items() if name != "whydeep"}
    for view in (json.dumps(by_hand), "deflate;eJyrBgABdQD5", "", "[]", '{"whydeep":"two"}'):
        assert missing_tags("7", {**ours, VIEW_TAG: view}) == {}

    monkeypatch.setattr(charts, "VERSION", charts.VERSION + 1)
    newer = missing_tags("7", ours)
    assert newer.keys() == {VIEW_TAG}
    assert missing_tags("7", {**ours, **newer}) == {}
    monkeypatch.setattr(charts, "VERSION", charts.VERSION - 1)
    assert missing_tags("7", {**ours, **newer}) == {}


def test_a_run_gives_its_experiment_the_charts_once(
    runs_dir: Path, options: TrackingOptions, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = open_run(runs_dir / "one", options, name="one", tags={})
    assert tracker.finish("FINISHED").pending == 0
    tags = experiment_tags(client)
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    assert tags == missing_tags(experiment.experiment_id, {})
    assert f"#/experiments/{experiment.experiment_id}/runs?" in tags[NOTE_TAG]

    def refuse(*_: object) -> None:
        raise AssertionError("nothing is missing")

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    assert store_of(options).experiment_id("study") == experiment.experiment_id
    assert experiment_tags(client) == tags


def test_an_experiment_that_was_there_before_keeps_its_description_and_views(
    options: TrackingOptions, client: MlflowClient
) -> None:
    own = {NOTE_TAG: "What we asked", "mlflow.sharedViewState.1795558202963": '{"name":"by hand"}', "team": "vision"}
    experiment_id = client.create_experiment("study", tags=own)

    assert store_of(options).experiment_id("study") == experiment_id

    assert experiment_tags(client) == {**own, VIEW_TAG: missing_tags(experiment_id, {})[VIEW_TAG]}


def test_a_store_that_refuses_the_tags_is_told_in_the_log_and_does_not_hold_a_run_up(
    runs_dir: Path,
    options: TrackingOptions,
    client: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("you may not change this experiment", error_code=6)

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    tracker = open_run(runs_dir / "one", options, name="one", tags={})
    tracker.metrics({"loss": 1.0}, step=0)
    delivery = tracker.finish("FINISHED")

    assert (delivery.pending, delivery.error) == (0, None)
    assert experiment_tags(client) == {}
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.levelno for record in said] == [logging.WARNING] * 2
    assert f"experiment 'study' goes without the tag {VIEW_TAG}: you may not change this" in caplog.text


def test_writers_that_meet_an_experiment_without_charts_at_once_do_not_complain(
    options: TrackingOptions, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client.create_experiment("study")
    together = threading.Barrier(4)
    look_up = MlflowClient.get_experiment_by_name

    def all_look_up_before_one_writes(self: MlflowClient, name: str) -> object:
        found = look_up(self, name)
        together.wait(timeout=60)
        return found

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", all_look_up_before_one_writes)
    writers = [threading.Thread(target=store_of(options).experiment_id, args=("study",)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    monkeypatch.undo()

    assert experiment_tags(client).keys() == {VIEW_TAG, NOTE_TAG}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_tag_that_another_process_makes_in_between_is_no_failure(
    options: TrackingOptions, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = MlflowClient.set_experiment_tag
    failed: set[str] = set()

    def fail_once(self: MlflowClient, experiment_id: str, key: str, value: str) -> None:
        if key not in failed:
            failed.add(key)
            raise MlflowException("UNIQUE constraint failed: experiment_tags.key")
        write(self, experiment_id, key, value)

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", fail_once)
    store_of(options).experiment_id("study")

    assert experiment_tags(client).keys() == failed == {VIEW_TAG, NOTE_TAG}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_page_of_the_installed_mlflow_reads_a_view_as_it_is_written_here() -> None:
    envelope = json.loads(missing_tags("1", {})[VIEW_TAG])

    assert in_page(rf'"{re.escape(VIEW_TAG.removesuffix(charts.VIEW_ID))}"')
    assert in_page(r"JSON\.stringify\(\{name:\w+,createdAt:\w+,updatedAt:\w+,state:\w+\}\)")
    assert envelope.keys() - {"whydeep"} == {"name", "createdAt", "updatedAt", "state"}
    assert in_page('"deflate;"')
    link = re.findall(r"[?&](\w+)=(\w+)", charts_link("1"))
    assert [name for name, _ in link if not in_page(f'"{name}"')] == []
    assert in_page(f'MACHINE_LEARNING="{dict(link)["workflowType"]}"')
    assert in_page(f'"{dict(link)["compareRunsMode"]}"')


def test_the_page_of_the_installed_mlflow_takes_every_part_of_the_state() -> None:
    state = shipped()

    taken = json.loads(in_page(r'\["selectedColumns","columnOrder".*?\]'))
    dropped = json.loads(in_page(r'\["runsExpanded","runsPinned".*?\]'))
    searched = json.loads(in_page(r'\["searchFilter","orderByKey".*?\]'))
    assert state.keys() <= {*taken, *searched} - set(dropped)
    assert in_page(f'SHOWALL="{state["runsHiddenMode"]}"')
    for section in state["compareRunSections"]:
        assert in_page(r"\{" + ",".join(rf"{name}:[^,{{}}]+" for name in section if name != "columns") + r"\}")
    assert in_page(r"\w+\.columns\)[^;]{0,40}\?\w+:3,")  # a section's own number of columns, or three
    for chart in state["compareRunCharts"]:
        assert chart.keys() - COMMON_FIELDS == fields_of(chart["type"])
    assert {kind for chart in state["compareRunCharts"] for kind in axis_kinds(chart)} == {"METRIC"}
    assert in_page(r'this\.xaxis=\{key:"",type:"METRIC"\}')
    for kind in {column.split(".")[0] for column in state["selectedColumns"]}:
        assert in_page(f':"{kind}"')
    others = {"runDateAndNestInfo", "duration", "attributes.`Run Name`"}
    assert set(state["columnOrder"]) == {*state["selectedColumns"], *others}
    assert state["columnWidths"].keys() < set(state["columnOrder"])
    assert in_page('"runDateAndNestInfo"')
    assert in_page('"duration"')
    assert in_page(':"Run Name"')


def axis_kinds(chart: dict[str, Any]) -> set[str]:
    return {chart[axis]["type"] for axis in ("xaxis", "yaxis", "zaxis") if axis in chart}


def fields_of(kind: str) -> set[str]:
    """Return what the page's class for a type of chart adds to the common fields, without what may be left out."""
    body = in_page(rf"this\.type=\w+\.{kind},(?:(?!\}}class |\}}let ).)*")
    fields = {name for name, unset in re.findall(r"this\.(\w+)=(void 0)?", body) if not unset}
    # A line chart of an older view has one metric only: the list may be left out, and is given here.
    return (fields | ({"selectedMetricKeys"} if kind == "LINE" else set())) - COMMON_FIELDS
