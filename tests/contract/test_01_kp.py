"""1/KP: topics, and the payload of an error."""

import json

import pytest
from contracts import any_time, rfc_file
from hypothesis import given
from hypothesis import strategies as st

from kaa.core.errors import ProtocolError
from kaa.protocols import kp


def parsed(topic, **more):
    found = kp.parse(topic, **more)
    return found.app_version_name, found.extension, found.token, found.resource_path, found.request_id


class TestTopic:
    @pytest.mark.parametrize(
        ("topic", "meaning"),
        [
            ("kp1/home-v1/dcx/T0k3n/json", ("home-v1", "dcx", "T0k3n", "/json", None)),
            ("kp1/home-v1/dcx/T0k3n/json/1", ("home-v1", "dcx", "T0k3n", "/json", 1)),
            ("kp1/home-v1/cmx/T0k3n/config/json/default/42", ("home-v1", "cmx", "T0k3n", "/config/json/default", 42)),
            ("kp1/home-v1/cex/T0k3n/command/reboot", ("home-v1", "cex", "T0k3n", "/command/reboot", None)),
            ("kp1/home-v1/dcx/a token with Ünïcode/json", ("home-v1", "dcx", "a token with Ünïcode", "/json", None)),
        ],
    )
    def test_it_reads_version_extension_token_path_and_request_id(self, topic, meaning):
        assert parsed(topic) == meaning

    @pytest.mark.parametrize(
        ("last", "request_id"), [("0", 0), ("1", 1), ("99999", 99_999), ("2147483647", 2_147_483_647)]
    )
    def test_the_last_level_is_the_request_id_if_it_is_an_integer_up_to_2147483647(self, last, request_id):
        assert parsed(f"kp1/v/dcx/t/json/{last}") == ("v", "dcx", "t", "/json", request_id)

    @pytest.mark.parametrize(
        "last",
        ["2147483648", "4294967296", "99999999999999999999", "-1", "+1", "1.0", "0x1", "1a", "\u0661", "²", " 1"],
    )
    def test_any_other_last_level_is_part_of_the_path(self, last):
        assert parsed(f"kp1/v/dcx/t/json/{last}") == ("v", "dcx", "t", f"/json/{last}", None)

    def test_only_the_last_of_two_integers_is_the_request_id(self):
        assert parsed("kp1/v/dcx/t/json/5/7") == ("v", "dcx", "t", "/json/5", 7)

    def test_an_integer_before_the_last_level_is_part_of_the_path(self):
        assert parsed("kp1/v/dcx/t/5/json") == ("v", "dcx", "t", "/5/json", None)

    def test_a_token_of_digits_is_a_token(self):
        assert parsed("kp1/v/dcx/12345/json/1") == ("v", "dcx", "12345", "/json", 1)
        assert parsed("kp1/v/dcx/12345/1") == ("v", "dcx", "12345", "/", 1)
        assert parsed("kp1/v/dcx/12345") == ("v", "dcx", "12345", "/", None)

    def test_an_extension_that_knows_no_endpoints_has_no_token(self):
        assert parsed("kp1/v/ext/time/now/3", is_endpoint_aware=False) == ("v", "ext", None, "/time/now", 3)
        assert parsed("kp1/v/ext/3", is_endpoint_aware=False) == ("v", "ext", None, "/", 3)

    @pytest.mark.parametrize(
        ("topic", "path", "request_id"),
        [
            ("kp1/v/dcx/t", "/", None),
            ("kp1/v/dcx/t/", "/", None),
            ("kp1/v/dcx/t//json", "//json", None),
            ("kp1/v/dcx/t/json/", "/json/", None),
            ("kp1/v/dcx/t/json//1", "/json/", 1),
        ],
    )
    def test_empty_levels_of_the_path_stay(self, topic, path, request_id):
        assert parsed(topic) == ("v", "dcx", "t", path, request_id)

    @pytest.mark.parametrize(
        "topic",
        [
            "",
            "kp1",
            "kp1/v",
            "kp1/v/dcx",
            "kp1//dcx/t/json",
            "kp1/v//t/json",
            "kp1/v/dcx//json",
            "/kp1/v/dcx/t/json",
            "kp2/v/dcx/t/json",
            "KP1/v/dcx/t/json",
            "kp/v/dcx/t/json",
            "sensors/temperature",
        ],
    )
    def test_what_is_no_such_topic_is_refused_with_topic_name_invalid(self, topic):
        with pytest.raises(ProtocolError) as error:
            kp.parse(topic)
        assert error.value.reason_code == 0x90

    @any_time
    @given(st.text(max_size=60), st.booleans())
    def test_any_text_gives_an_address_or_a_protocol_error(self, topic, is_aware):
        try:
            found = kp.parse(topic, is_endpoint_aware=is_aware)
        except ProtocolError:
            return
        assert found.resource_path.startswith("/")
        assert (found.token is not None) is is_aware
        assert found.request_id is None or 0 <= found.request_id <= 2**31 - 1

    @any_time
    @given(
        st.lists(st.text(st.characters(exclude_characters="/\0+#"), max_size=9), min_size=1, max_size=4),
        st.none() | st.integers(0, 2**31 - 1),
    )
    def test_a_topic_that_was_put_together_is_taken_apart_again(self, path, request_id):
        tail = "/".join(path)
        topic = f"kp1/v/dcx/t/{tail}" if request_id is None else f"kp1/v/dcx/t/{tail}/{request_id}"
        if request_id is None and kp.is_request_id(path[-1]):
            return
        assert parsed(topic) == ("v", "dcx", "t", f"/{tail}", request_id)


class TestAnswers:
    def test_a_push_has_the_topic_of_a_request_without_its_id_and_status_behind(self):
        assert kp.push_topic("home-v1", "cex", "T0k3n", "/command/reboot") == (
            "kp1/home-v1/cex/T0k3n/command/reboot/status"
        )
        assert kp.push_topic("home-v1", "ext", None, "/news") == "kp1/home-v1/ext/news/status"

    def test_an_error_is_a_status_code_and_a_reason_phrase_and_nothing_else(self):
        data = kp.error_payload(404, 'no "such" thing: ü')
        assert json.loads(data) == {"statusCode": 404, "reasonPhrase": 'no "such" thing: ü'}
        assert kp.error_payload(400, "no") == b'{"statusCode":400,"reasonPhrase":"no"}'

    @any_time
    @given(st.integers(400, 599), st.text(st.characters(codec="utf-8")))
    def test_any_sentence_can_be_said(self, status_code, reason):
        assert json.loads(kp.error_payload(status_code, reason)) == {"statusCode": status_code, "reasonPhrase": reason}

    def test_the_rfc_says_the_same(self):
        schema = rfc_file("0001-error-response.schema.json")
        payload = json.loads(kp.error_payload(400, "no"))
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
        assert set(schema["required"]) == set(schema["properties"]) == set(payload)
        kinds = {"integer": int, "string": str}
        for name, value in payload.items():
            assert type(value) is kinds[schema["properties"][name]["type"]]
