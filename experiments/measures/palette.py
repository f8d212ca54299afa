"""The colours of every picture: told apart with any kind of colour vision."""

# Okabe & Ito, "Color universal design", 2008, in the order in which lines take them.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BLUE, ORANGE = COLOURS[:2]
# Of numbers that have an order.
MAP = "viridis"
