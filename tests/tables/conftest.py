from __future__ import annotations

from results import campaign, names

__all__ = ["campaign", "names"]
