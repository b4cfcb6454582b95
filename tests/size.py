"""Whether slow tests run at full size (``make test-full``) or in their reduced form."""

from __future__ import annotations

import os

FULL = bool(os.environ.get("HIBANA_FULL"))
