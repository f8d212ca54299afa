"""The view of a study in MLflow's pages."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments.tracking.charts import VIEW_PREFIX
from experiments.tracking.study_charts import study_link, study_view
from tests.experiments.tracking.mlflow_page import axes, in_page, unpacked


def view_of(variation: str) -> tuple[str, str]:
    return study_view("s", variation, "test/top1_error", parameters=["factor.depth"], mean="mean/test/top1_error")


def test_the_view_of_a_study_shows_arms_and_replicates_in_words_of_the_page() -> None:
    tag, value = view_of("as written")
    state = unpacked(value)

    assert tag == "mlflow.sharedViewState.whydeep-study-s"
    assert f"viewStateShareKey={tag.rpartition('.')[2]}&" in study_link("1", "s", "as written")
    assert study_link("1", "s", "scale=toy") != study_link("1", "s", "as written")
    charts_of = {(chart["type"], axes(chart)) for chart in state["compareRunCharts"]}
    for cost in ("measure/parameters", "measure/macs", "measure/receptive_field"):
        assert ("SCATTER", (cost, "test/top1_error")) in charts_of
        assert ("SCATTER", (cost, "mean/test/top1_error")) in charts_of
    (parallel,) = [chart for chart in state["compareRunCharts"] if chart["type"] == "PARALLEL"]
    assert parallel["selectedParams"] == ["factor.depth"]
    assert state["searchFilter"] == "tags.`whydeep.study` = 's' and tags.`whydeep.variation` = 'as written'"
    taken = json.loads(in_page(r'\["selectedColumns","columnOrder".*?\]'))
    searched = json.loads(in_page(r'\["searchFilter","orderByKey".*?\]'))
    assert state.keys() <= {*taken, *searched}
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "whydeep.arm"}]
    assert in_page(r"groupByData:\w+,mode:\w+")
    assert in_page(r'Tag="tag"')
    assert in_page(r'Average="average"')


def test_every_variation_has_a_view_of_its_own() -> None:
    tags = [view_of(variation)[0] for variation in ("as written", "scale=toy", "scale=toy model=a")]
    assert len(set(tags)) == 3
    assert all(tag.startswith(f"{VIEW_PREFIX}whydeep-study-s") for tag in tags)
    assert study_link("7", "s", "scale=toy").startswith("#/experiments/7/runs?")
    assert tags[1].removeprefix(VIEW_PREFIX) in study_link("7", "s", "scale=toy")


@pytest.mark.parametrize("variation", ["model.note='it''s'", 'note="x"', "a % b", "both ' and \"", "back\\slash\\"])
def test_the_condition_of_the_view_finds_the_runs_of_the_variation(
    runs_dir: Path, client: MlflowClient, variation: str
) -> None:
    del runs_dir
    tags = {"whydeep.study": "s", "whydeep.variation": variation}
    own = client.create_run("0", tags=tags).info.run_id
    client.create_run("0", tags={**tags, "whydeep.variation": "as written"})
    client.create_run("0", tags={**tags, "whydeep.variation": f"{variation} more"})
    found = client.search_runs(["0"], unpacked(view_of(variation)[1])["searchFilter"])
    assert [run.info.run_id for run in found] == [own]
