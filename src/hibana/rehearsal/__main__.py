"""``python -m hibana.rehearsal``."""

from __future__ import annotations

from hibana.rehearsal.main import main

raise SystemExit(main())
