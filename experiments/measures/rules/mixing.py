"""Operators in which units meet all others along some dimensions: matrix products, reductions, normalisation."""

from collections.abc import Sequence
from dataclasses import replace

from experiments.measures.channels import pairs
from experiments.measures.reach import Status
from experiments.measures.rules.call import Call, dims_of, rule, tensors_in
from experiments.measures.sight import Dimension, Sight, axes_of, joined, plain, plain_sizes


@rule("mm", "bmm")
def multiplied(call: Call) -> Sight:
    """(…, n, k) × (…, k, m) → (…, n, m): every output meets all k."""
    return _product(call, call.args[0], call.args[1])


@rule("addmm", "baddbmm")
def multiplied_and_added(call: Call) -> Sight:
    """(…, n, m) + (…, n, k) × (…, k, m) → (…, n, m)."""
    product = _product(call, call.args[1], call.args[2])
    added = call.sight(call.args[0])
    return product if added is None else joined([product, added], call.op)


@rule("mv", "dot")
def multiplied_by_a_vector(call: Call) -> Sight:
    """(n, k) × (k) → (n), or (k) × (k) → (): every output meets all k."""
    parts = []
    for tensor in call.args[:2]:
        if (sight := call.sight(tensor)) is not None:
            met = _contracted(call, sight, [len(sight.dims) - 1])
            parts.append(met.with_dims(met.dims[:-1] or _plain_dims(call.shape)))
    return joined(parts, call.title)


def _product(call: Call, left: object, right: object) -> Sight:
    rows, columns = call.sight(left), call.sight(right)
    plain_shape = _plain_dims(call.shape)
    parts = []
    across: set[int] = set()
    if rows is not None:
        rows = _contracted(call, rows, [len(rows.dims) - 1])
        parts.append(rows.with_dims([*rows.dims[:-1], plain_shape[-1]]))
    if columns is not None:
        columns = _contracted(call, columns, [len(columns.dims) - 2])
        across = axes_of(columns.dims[-1:]) & (axes_of(rows.dims) if rows is not None else set())
        # Positions multiplied with positions, as attention does: from here on every one may meet every other.
        columns = columns.collapsed(across, call.reason("joins all positions"))
        parts.append(columns.with_dims([*columns.dims[:-2], plain_shape[-2], columns.dims[-1]]))
    together = joined(parts, call.op)
    if not across:
        return together
    # One product is of two positions; only what mixes those of a row, such as the values of attention, sees all.
    return replace(together, channels=pairs(plain_sizes(together.dims), call.reason("joins positions in pairs")))


def _plain_dims(shape: Sequence[int]) -> list[Dimension]:
    return [plain(size) for size in shape]


def _contracted(call: Call, sight: Sight, dims: Sequence[int]) -> Sight:
    """Return the sight of units that have met all others along `dims`."""
    axes = axes_of([sight.dims[dim] for dim in dims])
    merged = sight.merged(dims)
    return merged.collapsed(axes, call.reason("over the whole map")) if axes else merged


@rule(
    "mean", "sum", "amax", "amin", "max", "min", "prod", "var", "std", "var_mean", "std_mean", "logsumexp",
    "linalg_vector_norm", "norm", "argmax", "argmin", "any", "all", "median", "aminmax",
)  # fmt: skip
def reduced(call: Call) -> Sight:
    """Dimensions of any size to 1, or removed."""
    call.alone()
    sight = call.source
    position = 2 if call.op in ("linalg_vector_norm", "norm") else 1
    value = call.arg(position, "dim")
    dims = dims_of(None if isinstance(value, bool) else value, len(sight.dims))
    sight = _contracted(call, sight, dims)
    keep = len(call.shape) == len(sight.dims)
    kept = [() if dim in dims else dimension for dim, dimension in enumerate(sight.dims)]
    return sight.with_dims(kept if keep else [item for dim, item in enumerate(kept) if dim not in dims])


@rule("_softmax", "_log_softmax", "_safe_softmax")
def mixed(call: Call) -> Sight:
    """(…) → (…): every unit meets all others along one dimension."""
    return _mixed(call, call.source, [call.dim(call.arg(1, "dim", -1))])


@rule("sort")
def sorted_along(call: Call) -> Sight:
    """(…) → (…), and the places that they had: every unit may be any of those along one dimension."""
    sight, dim = call.source, call.dim(call.arg(1, "dim", -1))
    axes = axes_of([sight.dims[dim]])
    return sight.merged([dim]).shuffled(axes, call.reason("over the whole map"))


@rule("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")
def accumulated(call: Call) -> Sight:
    """(…) → (…): every unit meets those before it along one dimension."""
    sight = call.source
    axes = axes_of([sight.dims[call.dim(call.arg(1, "dim"))]])
    return (
        sight.mixed(axes, call.reason("over all positions before"), Status.BOUND) if axes else sight.in_other_channels()
    )


def _mixed(call: Call, sight: Sight, dims: Sequence[int]) -> Sight:
    axes = axes_of([sight.dims[dim] for dim in dims])
    merged = sight.merged(dims)
    return merged.mixed(axes, call.reason("over the whole map")) if axes else merged


@rule("native_layer_norm", "_fused_rms_norm")
def layer_normalised(call: Call) -> Sight:
    """(…) → (…): mean and variance over the last dimensions."""
    rank = len(call.source.dims)
    return _mixed(call, call.source, range(rank - len(call.args[1]), rank))


@rule("native_group_norm")
def group_normalised(call: Call) -> Sight:
    """(N, C, …) → (N, C, …): mean and variance over the whole map of some channels."""
    sight = call.source
    if call.args[6] == 1:
        return _mixed(call, sight, range(1, len(sight.dims)))
    return sight.in_other_channels().mixed(axes_of(sight.dims[1:]), call.reason("over the whole map"))


@rule("native_batch_norm")
def batch_normalised(call: Call) -> Sight:
    """(N, C, …) → (N, C, …): by recorded statistics a scale per channel; by those of the batch, over the whole map."""
    sight = call.source
    axes = axes_of([sight.dims[0], *sight.dims[2:]])
    return sight.mixed(axes, call.reason("over the whole map")) if axes and call.arg(5, "training") else sight


@rule("_scaled_dot_product_attention_math", "_scaled_dot_product_flash_attention_for_cpu")
def attended(call: Call) -> Sight:
    """Queries (N, heads, n, k), keys and values (N, heads, m, k) → (N, heads, n, k): every query meets all m."""
    queries = call.sight(call.args[0])
    others = [sight for tensor in tensors_in(call.args[1:3]) if (sight := call.sight(tensor)) is not None]
    met = [sight.collapsed(axes_of(sight.dims[-2:]), call.reason("joins all positions")) for sight in others]
    sights = [sight.with_dims([*sight.dims[:-2], (), ()]) for sight in met]
    if queries is not None:
        sights.append(queries.with_dims([*queries.dims[:-1], _plain_dims(call.shape)[-1]]))
    return joined(sights, call.op)
