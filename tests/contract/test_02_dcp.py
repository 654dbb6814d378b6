"""2/DCP: the resources of a data collection extension. It has no schema but "an array of JSON values"."""

from kaa.protocols import dcp, kp


def test_samples_are_sent_to_json_and_single_readings_to_plain_and_the_metric():
    assert kp.parse("kp1/home-v1/dcx/token/json/1").resource_path == dcp.JSON == "/json"
    found = kp.parse("kp1/home-v1/dcx/token/plain/altitude/1")
    assert found.resource_path == "/plain/altitude"
    assert dcp.PLAIN == "/plain/"
    assert found.resource_path.removeprefix(dcp.PLAIN) == "altitude"
