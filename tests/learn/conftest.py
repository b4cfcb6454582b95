from __future__ import annotations

from bulk_results import bulk
from vacancy_results import vacancies

__all__ = ["bulk", "vacancies"]
