"""The benchmark beside other tools: the truth by hand, the words for what is right and wrong, and failures."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from experiments.benchmarks import peers
from experiments.benchmarks.comparison import compare_windows
from experiments.benchmarks.peers import CASES, Answer, Case, ask, row
from experiments.errors import UserError

SMALL = [case for case in CASES if case.side == 64]
CASE = Case("small", lambda: nn.Conv2d(3, 8, 3, bias=False), 64, 216, 830_304, (3, 3))


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_the_truth_of_the_small_networks(case: Case) -> None:
    network = case.build().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == case.parameters
    # Unit by unit against gradients, which know nothing of the measures.
    comparison = compare_windows(network, (3, case.side, case.side))
    assert comparison.mismatches == ()
    assert comparison.units > 0
    right = Answer(case.parameters, case.macs, case.field)
    assert ask(peers.whydeep, network, case)[0] == right
    for counter in (peers.torch_flop_counter, peers.torch_flop_counter_on_meta):
        assert ask(counter, network, case)[0] == Answer(macs=case.macs)


def test_a_count_by_hand() -> None:
    # 8 · 3 · 9 products at each of 62² positions.
    assert CASE.macs == 8 * 3 * 9 * 62**2
    answer, seconds = ask(peers.whydeep, CASE.build(), CASE)
    assert answer == Answer(216, CASE.macs, (3, 3))
    assert seconds >= 0


def test_a_tool_that_fails_is_named_by_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    def failing(_: nn.Module, __: Case) -> Answer:
        print("much ado")
        raise ZeroDivisionError

    answer, _ = ask(failing, CASE.build(), CASE)
    assert answer == "ZeroDivisionError"
    assert capsys.readouterr().out == ""
    assert row(CASE, "tool", answer, [0.5]) == "| small | tool | fails: ZeroDivisionError |  |  | 0.50 (0.50-0.50) |"


def test_what_is_wrong_stands_with_its_difference() -> None:
    right = row(CASE, "tool", Answer(216, CASE.macs, (3, 3)), [0.3, 0.1, 0.2])
    assert right == "| small | tool | right | right | right | 0.20 (0.10-0.30) |"
    wrong = row(CASE, "tool", Answer(218, CASE.macs // 2, (3, 5)), [1.0, 2.0, 6.0])
    assert wrong == "| small | tool | 218 (+0.9%) | 415,152 (-50.0%) | 3 x 5 | 2.00 (1.00-6.00) |"
    assert row(CASE, "tool", Answer(), [1.0]) == "| small | tool | - | - | - | 1.00 (1.00-1.00) |"


def test_the_table_has_a_row_of_truth_and_one_per_tool(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counting(_: nn.Module, case: Case) -> Answer:
        asked.append(len(asked))
        return Answer(macs=case.macs)

    monkeypatch.setattr(peers, "CASES", (CASE,))
    monkeypatch.setattr(peers, "TOOLS", {"ours": (counting, "torch"), "theirs": (counting, "no-such-package-here")})
    threads = torch.get_num_threads()
    try:
        assert peers.main(["repeats=3"]) == 0
    finally:
        torch.set_num_threads(threads)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ours: torch 2")
    assert lines[1].startswith("theirs: not installed")
    assert lines[-2] == "| **small** at 64 px | **truth** | **216** | **830,304** | **3 x 3** | |"
    assert lines[-1].startswith("| small | ours | - | right | - | ")
    assert len(asked) == 1 + 3


@pytest.mark.parametrize("argument", ["repeats=x", "repeats=0", "repeat=3"])
def test_a_mistake_is_one_line(argument: str) -> None:
    with pytest.raises(UserError, match=argument):
        peers.main([argument])


def test_a_mistake_ends_in_exit_code_2_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "experiments.benchmarks.peers", "repeats=x"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "repeats=x: must be a whole number of at least 1\n"
