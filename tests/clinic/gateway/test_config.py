"""Settings: every faulty key is named, and the example is what it says."""

from __future__ import annotations

import pytest

from senoscope.clinic.gateway.config import EXAMPLE, Config, make_config, read_config
from senoscope.errors import ConfigError

PLACE = {"ae_title": "PACS", "host": "127.0.0.1", "port": 4242}
SMALL = {"peers": [{"ae_title": "PACS"}], "destinations": [{"name": "pacs", **PLACE}]}


def test_the_example_states_the_defaults():
    example, small = read_config(EXAMPLE), make_config(SMALL)
    for key in ("node", "series", "analysis", "retry", "poll", "log_level", "data_dir"):
        assert getattr(example, key) == getattr(small, key)
    assert example.destinations == small.destinations


def test_data_dir_can_be_given_beside_the_file(tmp_path):
    assert read_config(EXAMPLE, data_dir=tmp_path).data_dir == tmp_path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nod": {}}, "unknown key 'nod' (did you mean 'node'?)"),
        ({"node": {"prot": 1}}, "unknown key 'node.prot' (did you mean 'port'?)"),
        ({"destinations": [{"name": "a", "stwo": "http://x"}]}, "did you mean 'stow'?"),
        ({"node": {"port": 70000}}, "node.port = 70000"),
        ({"peers": [{"ae_title": "A\\B"}]}, "peers.0.ae_title"),
        ({"peers": [{"ae_title": "SEVENTEEN_LETTERS"}]}, "peers.0.ae_title"),
        ({"peers": [{"ae_title": "PACS", "query": True}]}, "query needs host and port"),
        ({"peers": []}, "nobody may send"),
        ({"peers": [{"ae_title": "A"}, {"ae_title": "A"}]}, "two peers have the same name"),
        ({"destinations": []}, "destinations"),
        ({"destinations": [{"name": "pacs"}]}, "needs ae_title, host and port, or stow"),
        ({"destinations": [{"name": "pacs", "stow": "http://x", **PLACE}]}, "either"),
        ({"destinations": [{"name": "pacs", "objects": ["PDF"], **PLACE}]}, "destinations.0.objects.0"),
        ({"node": {"tls": {"ca": "ca.pem"}}}, "tls needs certificate and key"),
        ({"node": {"tls": {"certificate": "a.pem"}}}, "certificate and key belong together"),
        ({"destinations": [{"name": "a", "stow": "http://x", "tls": {}}]}, "begins with https:"),
        ({"keep_days": 0}, "keep_days = 0"),
        ({"keep_days": 1, "poll": {"url": "http://x", "days": 1}}, "keep_days must exceed poll.days"),
    ],
)
def test_a_faulty_key_is_named(change, words):
    with pytest.raises(ConfigError) as raised:
        make_config({**SMALL, **change})
    assert words in raised.value.found


@pytest.mark.parametrize("text", ["a: &x 1\nb: *x", "node: [", "- 1", "!!python/object:os.system {}"])
def test_only_plain_yaml_is_read(tmp_path, text):
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_config(path)


def test_a_missing_file_points_to_the_example(tmp_path):
    with pytest.raises(ConfigError) as raised:
        read_config(tmp_path / "none.yaml")
    assert "--example" in raised.value.fix


def test_no_setting_is_left_undocumented():
    text = EXAMPLE.read_text()
    assert all(f"{name}:" in text for name in Config.model_fields)
