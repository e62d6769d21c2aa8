"""The kinds of mutation: each draws from what a host has, and gives None when the host has nothing of the sort."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from ..mutation import Facts, Mutation
from . import (
    certificates,
    configuration,
    database,
    edge,
    files,
    firewall,
    limits,
    network,
    rights,
    rows,
    units,
)

Draw = Callable[[Random, Facts], Mutation | None]

#: The kind that every server suffers from.
WIDE = "edge_wide"
#: What is drawn of a server, and how often compared with the others.
OF_SERVER: dict[str, tuple[Draw, int]] = {
    "configuration": (configuration.draw, 6),
    "rows": (rows.draw, 5),
    "database": (database.draw, 4),
    "rights": (rights.draw, 3),
    "units": (units.draw, 4),
    "firewall": (firewall.draw, 4),
    "files": (files.draw, 3),
    "certificates": (certificates.draw, 2),
    "network": (network.draw, 4),
    "limits": (limits.draw, 2),
}
#: What is drawn of the edge.
OF_EDGE: dict[str, tuple[Draw, int]] = {"edge": (edge.draw, 2), WIDE: (edge.draw_wide, 1)}
KINDS = {name: draw for name, (draw, _often) in {**OF_SERVER, **OF_EDGE}.items()}
