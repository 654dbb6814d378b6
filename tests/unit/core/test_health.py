"""Checks and their report."""

from kaa.core.health import Health, Problem


def test_without_problems_all_is_ok() -> None:
    health = Health()
    health.add("storage", lambda: None)
    assert health.report().is_ok
    assert health.report().as_json() == {"status": "ok", "checks": {"storage": "ok"}}


def test_a_problem_is_told_beside_what_works() -> None:
    health = Health()
    health.add("storage", lambda: Problem("the disk is full"))
    health.add("bus", lambda: None)
    report = health.report()
    assert not report.is_ok
    assert report.as_json() == {"status": "failing", "checks": {"bus": "ok", "storage": "the disk is full"}}


def test_a_check_that_breaks_is_a_problem_and_hides_no_other() -> None:
    health = Health()
    health.add("broken", lambda: 1 / 0)
    health.add("bus", lambda: None)
    checks = health.report().as_json()["checks"]
    assert checks["bus"] == "ok"
    assert checks["broken"] != "ok"


def test_a_removed_check_is_not_asked() -> None:
    health = Health()
    health.add("door", lambda: Problem("closed"))
    health.remove("door")
    health.remove("never there")
    assert health.report().is_ok
