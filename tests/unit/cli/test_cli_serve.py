"""`kaa serve`: which configuration the server is run with."""

import pytest

from kaa import app, process
from kaa.core.config.units import validate_written


@pytest.fixture
def served(run, monkeypatch):
    """Run `kaa serve` and give the configuration that it would have run with."""

    def invoke(*arguments):
        given = []
        monkeypatch.setattr(process, "main", lambda config: given.append(config) or 0)
        result = run("serve", *arguments)
        assert result.exit_code == 0, result.output
        return given[0]

    return invoke


def test_without_a_word_the_defaults_hold(served):
    assert served() == app.KaaConfig()


def test_a_configuration_file_that_lies_about_is_not_read(served, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "kaa.yml").write_text("mqtt-port: 7\n")
    assert served().mqtt_port == 1883


def test_a_flag_is_stronger_than_a_variable_and_that_than_the_file(served, tmp_path, monkeypatch):
    file = tmp_path / "my.yml"
    file.write_text("mqtt-port: 7\nhttp-port: 8\nhost: 127.0.0.9\n")
    monkeypatch.setenv("KAA_HTTP_PORT", "18")
    monkeypatch.setenv("KAA_MQTT_PORT", "17")
    found = served("--config", str(file), "--mqtt-port", "27")
    assert (found.mqtt_port, found.http_port, found.host) == (27, 18, "127.0.0.9")


def test_the_door_with_tls_is_closed_unless_it_is_asked_for(served, tmp_path, monkeypatch):
    assert served().doors() == {"mqtt": 1883}
    assert served("--mqtts-port", "0").doors() == {"mqtt": 1883, "mqtts": 0}
    monkeypatch.setenv("KAA_MQTTS_PORT", "8883")
    file = tmp_path / "my.yml"
    file.write_text("mqtt-port: null\n")
    assert served("--config", str(file)).doors() == {"mqtts": 8883}


@pytest.mark.parametrize("door", ["mqtt", "mqtts", "http", "https"])
def test_a_port_that_cannot_be_one_ends_the_start(run, door):
    result = run("serve", f"--{door}-port", "65536")
    assert result.exit_code == 1
    assert f"{door}-port" in result.stderr


def test_a_door_may_be_off_however_it_is_said(served, tmp_path, monkeypatch):
    assert served("--http-port", "off", "--https-port", "0").http_port is None
    assert served("--mqtt-port", "off").doors() == {}
    assert (served().http_port, served().https_port) == (8080, None)
    file = tmp_path / "my.yml"
    for word in ("off", "'off'", "null"):
        file.write_text(f"http-port: {word}\n")
        assert served("--config", str(file)).http_port is None
    monkeypatch.setenv("KAA_HTTP_PORT", "off")
    monkeypatch.setenv("KAA_HTTPS_PORT", "8443")
    assert (served().http_port, served().https_port) == (None, 8443)


def risks(kpc, **ports):
    written = {"mqtt-port": None, **{name.replace("_", "-"): port for name, port in ports.items()}}
    return process._risks(validate_written(app.KaaConfig, {**written, "instances": {"kpc": kpc}}))


def test_what_an_open_door_means_is_said():
    tries = "whoever reaches this port may try endpoint tokens"
    reads = "whoever listens on the way can read tokens and passwords"
    assert risks({}, mqtt_port=1883) == {"mqtt": f"{tries}, and {reads}"}
    assert risks({"client-authentication": "basic"}, mqtt_port=1883) == {"mqtt": reads}
    assert risks({}, mqtts_port=8883) == {"mqtts": tries}
    assert risks({"tls": {"client-authentication": "x509"}}, mqtts_port=8883) == {}


def test_a_certificate_cannot_be_asked_for_where_there_is_no_tls(run, tmp_path):
    file = tmp_path / "my.yml"
    file.write_text("instances:\n  kpc:\n    client-authentication: x509\n")
    result = run("serve", "--config", str(file))
    assert result.exit_code == 1
    assert f"{file}:3: instances.kpc.client-authentication" in result.stderr


def test_the_file_may_be_named_by_a_variable(served, tmp_path, monkeypatch):
    (tmp_path / "my.yml").write_text("mqtt-port: 7\n")
    monkeypatch.setenv("KAA_CONFIG", str(tmp_path / "my.yml"))
    assert served().mqtt_port == 7


def test_instances_are_named_with_commas(served):
    assert served("--only", "kpc, dcx").only == ("kpc", "dcx")
    assert served("--without", "cm").without == ("cm",)


def test_only_and_without_do_not_go_together(run):
    assert run("serve", "--only", "kpc", "--without", "dcx").exit_code == 2


def test_a_wrong_key_of_the_file_ends_the_start_with_its_line(run, tmp_path):
    file = tmp_path / "my.yml"
    file.write_text("host: 127.0.0.1\nmqtt-prot: 7\n")
    result = run("serve", "--config", str(file))
    assert result.exit_code == 1
    assert f"{file}:2: mqtt-prot: there is no such option" in result.stderr


def test_the_version_is_said(run):
    assert run("--version").exit_code == 0
