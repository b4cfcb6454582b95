"""Kinds of error of figures and summaries."""

from __future__ import annotations

from hibana.core.errors import declare

NO_RESULT = declare(
    150,
    "nothing to draw",
    "Ask `hibana why MATERIAL` where its calculations are.",
)
UNKNOWN_PATH = declare(
    151,
    "the k-points are no band path of this crystal",
    "Draw runs of the task `band` only: their k-points without weight follow the path of the crystal's Bravais lattice.",
)
UNWRITABLE_FIGURE = declare(
    152,
    "the figure cannot be written",
    "Choose another folder with -o, or mend the permissions or the free space of this one.",
)
NO_SUCH_MATERIAL = declare(
    153,
    "no such material among the results",
    "Give a material_id or a formula that `hibana summary` lists.",
)
UNKNOWN_FORMAT = declare(
    154,
    "no such format of figures",
    "Choose png, pdf or svg.",
)
UNKNOWN_FIGURE = declare(
    155,
    "no such figure",
    "Choose one of the figures that the message lists.",
)
