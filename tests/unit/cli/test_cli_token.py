"""`kaa token`."""

import pytest


@pytest.fixture
def device(asked):
    """Add devices with an id of their own."""

    def add(endpoint_id):
        asked("device", "add", "--app", "token-home", "--version", "v1", "--id", endpoint_id)
        return endpoint_id

    return add


def states(asked, *endpoints):
    return [one["status"] for one in asked("token", "list", *endpoints)]


def test_a_token_is_added_shown_once_and_listed_without_its_value(ask, asked, device):
    one = device("token-1")
    added = asked("token", "add", one, "--token", "very-secret")
    assert (added["token"], added["endpointId"], added["applicationName"]) == ("very-secret", one, "token-home")
    listed = ask("token", "list", one, "--json")
    assert "very-secret" not in listed.output
    assert added["endpointTokenId"] in listed.output
    lines = ask("token", "add", one).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["token id", "token"]
    assert len(asked("token", "list", one)) == 3


def test_those_of_many_endpoints_are_listed(ask, device):
    device("token-a"), device("token-b")
    lines = ask("token", "list", "token-a", "token-b").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["token-a", "token-b"]
    assert [line.split("\t")[2] for line in lines] == ["Inactive", "Inactive"]


def test_a_token_is_suspended_activated_and_revoked(asked, device):
    one = device("token-2")
    for command, status in (("suspend", "Suspended"), ("activate", "Active"), ("suspend", "Suspended")):
        [moved] = asked("token", command, one)
        assert (moved["endpointId"], moved["status"]) == (one, status)
        assert states(asked, one) == [status]
        assert asked("token", command, one) == [], "it is so already"
    assert [moved["status"] for moved in asked("token", "revoke", one)] == ["Revoked"]


def test_one_that_was_never_used_can_be_revoked_at_once(asked, device):
    asked("token", "revoke", device("token-3"))
    assert states(asked, "token-3") == ["Revoked"]


def test_all_tokens_of_all_endpoints_are_moved(asked, device):
    device("token-c"), device("token-d")
    asked("token", "add", "token-c")
    assert len(asked("token", "suspend", "token-c", "token-d")) == 3
    assert states(asked, "token-c", "token-d") == ["Suspended"] * 3


def test_one_token_is_moved_by_its_id(asked, ask, device):
    device("token-4")
    added = asked("token", "add", "token-4")
    asked("token", "suspend", "token-4", "--id", added["endpointTokenId"])
    assert sorted(states(asked, "token-4")) == ["Inactive", "Suspended"]
    result = ask("token", "suspend", "token-4", "--id", "nothing")
    assert (result.exit_code, result.stderr) == (1, "Error: endpoint 'token-4' has no token 'nothing'\n")
    assert ask("token", "suspend", "token-4", "token-5", "--id", "x").exit_code == 2


def test_a_revoked_one_stays_so_and_the_others_are_moved_all_the_same(asked, ask, device):
    device("token-e"), device("token-f")
    asked("token", "revoke", "token-e")
    result = ask("token", "activate", "token-e", "token-nowhere", "token-f")
    assert result.exit_code == 1
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["token-f"]
    assert result.stderr == (
        "Error: endpoint 'token-e' has no token that can become active: what is revoked stays so; add another one with "
        "`kaa token add token-e`\nthere is no endpoint 'token-nowhere'\n"
    )


@pytest.mark.parametrize("words", [("list", "token-nowhere"), ("add", "token-nowhere"), ("revoke", "token-nowhere")])
def test_an_unknown_endpoint_is_an_error(ask, words):
    result = ask("token", *words)
    assert (result.exit_code, result.stderr) == (1, "Error: there is no endpoint 'token-nowhere'\n")


@pytest.mark.parametrize("command", ["list", "add", "suspend", "activate", "revoke"])
def test_without_an_endpoint_it_is_a_wrong_use(ask, command):
    assert ask("token", command).exit_code == 2
