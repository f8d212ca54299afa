"""Parts of a network by a word: its trunk, its first layers, or what a pattern names."""

from fnmatch import fnmatchcase

from torch import nn

from experiments.errors import UserError
from experiments.measures.network import NetworkMeasures
from experiments.runs.start_keys import FIRST, WORDS
from lightning_modules.fine_tuning import head_of

_SHOWN = 6


def part_of(key: str, word: str, network: nn.Module, measures: NetworkMeasures) -> frozenset[str]:
    """Return the names, as in the state dict, of the tensors that a part of `network` has.

    Args:
        key: that `word` is the value of; errors name it.
        word: `all`, `none`, `trunk` (all but the last layer), `first:N`, or a pattern such as `layer[12].*` that whole
            names are to match. The layers of `first:N` are counted as `depth` is: those with at most N weighted layers
            on the longest chain from the input to them, themselves included; a batch norm belongs to the layer before.
        network: whose names they are.
        measures: of the same network.

    Raises:
        UserError: N out of range, or a pattern that no name matches.
    """
    names = list(network.state_dict())
    if word in WORDS:
        head = head_of(network)
        kept = {"all": names, "none": [], "trunk": [name for name in names if name not in head]}
        return frozenset(kept[word])
    if word.startswith(FIRST):
        deepest = _count(key, word, measures)
        depth = {part.name: part.depth for part in (*measures.blocks, *measures.layers)}
        return frozenset(name for name in names if depth.get(name.rpartition(".")[0], measures.depth) <= deepest)
    matching = frozenset(name for name in names if fnmatchcase(name, word))
    if not matching:
        some = ", ".join(names[:_SHOWN])
        raise UserError(
            f"{key}={word}: no tensor of the network has such a name (* stands for anything); their names: {some} …"
        )
    return matching


def _count(key: str, word: str, measures: NetworkMeasures) -> int:
    number = int(word.removeprefix(FIRST))
    if not 0 < number < measures.depth:
        raise UserError(
            f"{key}={word}: the network has {measures.depth} layers with weights, the last of which is the head; "
            f"must be first:1 to first:{measures.depth - 1}, or trunk"
        )
    return number
