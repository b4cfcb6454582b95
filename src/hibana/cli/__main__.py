"""``python -m hibana.cli``: the command ``hibana``."""

from __future__ import annotations

from hibana.cli.main import main

main()
