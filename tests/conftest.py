"""What all tests share: property tests are repeatable, and the first compilation of a kernel is no failure."""

from hypothesis import HealthCheck, settings

#: Scripts that record what other programs say; those programs are not here.
collect_ignore_glob = ["reference/make_*.py"]

settings.register_profile(
    "project", deadline=None, max_examples=50, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")
