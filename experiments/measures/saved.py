"""What autograd keeps of a forward pass until the backward pass: the memory that training needs besides the weights.

Counted by the saved-tensor hooks of autograd, in a forward pass in training mode without data: whatever an operator
keeps is met there, an input, an output, a mask or an index, and what several operators keep is counted once.
"""

import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

from experiments.measures.attention import attention_as_on_cpu
from experiments.measures.memory import memory_of
from experiments.measures.weightless import ShapesOnly, image_of, mode_set, shadows

# So many images that what is kept once for all of them, such as the statistics of batch norm, is less than a byte of
# each. Without data they cost no more than one.
_BATCH = 1 << 26
# So many images of so many pixels, and what networks make of them, have no more bytes than torch can count.
_MOST_PIXELS = 1 << 46


@dataclass(frozen=True)
class Saved:
    """What one image more in the batch makes autograd keep; weights and buffers are not counted.

    Attributes:
        elements: numbers, the indices of max pooling and the masks of dropout among them.
        size: bytes of memory, as torch's kernels for CPUs keep them.
    """

    elements: int
    size: int


def saved_for_backward(network: nn.Module, input_shape: tuple[int, int, int]) -> Saved:
    """Count what autograd keeps for the backward pass of one image `(C, H, W)`, all parameters being trained.

    What is kept once per batch, such as the statistics of batch norm, is left out. Attention is that of torch's kernel
    for CPUs, where it would be chosen; others, such as those of an accelerator or of a scripted module, keep another
    amount. The network is left as it is; its weights are not read.

    Raises:
        Exception: whatever the network raises in training mode, without data, for a batch of images.
    """
    _, height, width = input_shape
    batch = min(_BATCH, max(_MOST_PIXELS // (height * width), 1))
    elements, size = _kept(network, batch, input_shape)
    if batch < _BATCH:
        # Too few for what is kept once to vanish: it cancels.
        twice = _kept(network, 2 * batch, input_shape)
        elements, size = twice[0] - elements, twice[1] - size
    return Saved(elements // batch, size // batch)


def _kept(network: nn.Module, batch: int, input_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return how many numbers, and bytes, autograd keeps of a batch of images."""
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        # Held, so that no later memory is mistaken for this one.
        kept.setdefault(memory_of(tensor), tensor)
        return tensor

    tensors = shadows(network)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mode_set(network, training=True))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(attention_as_on_cpu())
        stack.enter_context(ShapesOnly())  # type: ignore[no-untyped-call]
        stack.enter_context(saved_tensors_hooks(note, lambda tensor: tensor))
        functional_call(network, tensors, (image_of(network, batch, input_shape),))
    own = {memory_of(tensor) for tensor in tensors.values()}
    others = [
        (tensor.untyped_storage().nbytes(), tensor.element_size())
        for memory, tensor in kept.items()
        if memory not in own
    ]
    return sum(size // each for size, each in others), sum(size for size, _ in others)
