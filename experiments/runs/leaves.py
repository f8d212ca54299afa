"""A configuration as its leaves: each value under the keys that lead to it, joined by dots."""

from collections.abc import Iterator


def leaves(node: object, *, into_lists: bool = False, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield key and value of every leaf of a configuration that is plain data, in its order.

    Args:
        node: mappings, lists and values. A mapping without keys is a leaf, and so is a list.
        into_lists: go into lists that hold mappings, too: `transforms[0].p`.
        path: the keys that lead to `node`.
    """
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from leaves(value, into_lists=into_lists, path=f"{path}.{name}" if path else str(name))
    elif into_lists and isinstance(node, list) and any(isinstance(item, dict) for item in node):
        for position, item in enumerate(node):
            yield from leaves(item, into_lists=into_lists, path=f"{path}[{position}]")
    else:
        yield path, node
