from __future__ import annotations

from bulk_results import bulk
from results import campaign, names
from vacancy_results import vacancies

__all__ = ["bulk", "campaign", "names", "vacancies"]
