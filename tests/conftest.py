"""Properties are tried with the same examples in every run: what fails tells of the change, not of chance or load.

HYPOTHESIS_PROFILE=search .venv/bin/python -m pytest …    # looks for new examples; put what it finds into @example
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("search"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
