import pytest

from django_rpc.errors import ImproperSettings
from django_rpc.transport.celery_app import make_app
from django_rpc.transport.config import Config, check_timeout
from django_rpc.transport.registry import transport_for

SEED = {
    "BROKER_URL": "amqp://guest@localhost/",
    "DEFAULT_QUEUE_NAME": "django_rpc",
    "PRIORITY_QUEUE_NAME": "django_rpc",
    "RESULT_BACKEND": "redis://localhost/",
}


def test_the_four_keys_of_the_seed_are_enough():
    config = Config.from_dict(SEED)
    assert config.broker_url == "amqp://guest@localhost/"
    assert config.queue(priority=False) == config.queue(priority=True) == "django_rpc"
    assert config.timeout == 30
    assert config.replies_by_redis
    assert not config.eager


def test_keys_of_django_are_accepted():
    assert Config.from_dict({**SEED, "ENGINE": "django_rpc.backend", "NAME": "", "TEST": {}, "CONN_MAX_AGE": 0})


def test_queues_have_defaults():
    config = Config.from_dict({"DEFAULT_QUEUE_NAME": None})
    assert config.queue(priority=False) == "django_rpc"
    assert config.queue(priority=True) == "django_rpc_priority"


@pytest.mark.parametrize(
    ("wrong", "near"), [("BROKER_ULR", "BROKER_URL"), ("timeout", "TIMEOUT"), ("DEFAULT_QUEUE", "DEFAULT_QUEUE_NAME")]
)
def test_misspelt_key_has_suggestion(wrong, near):
    with pytest.raises(ImproperSettings, match=rf"DATABASES\['shop'\] has no '{wrong}'; did you mean '{near}'"):
        Config.from_dict({wrong: "x"}, "shop")


def test_unknown_key_is_ignored():
    assert Config.from_dict({**SEED, "MY_OWN_KEY": 1}) == Config.from_dict(SEED)


@pytest.mark.parametrize("value", [0, -1, "5", True, float("nan"), float("inf")])
def test_a_timeout_is_seconds_or_none(value):
    with pytest.raises(ImproperSettings, match="seconds above 0"):
        Config.from_dict({"TIMEOUT": value})
    assert check_timeout(None) is None


def test_values_of_the_wrong_type_are_named():
    with pytest.raises(ImproperSettings, match="BROKER_URL must be text"):
        Config.from_dict({"BROKER_URL": 5})
    with pytest.raises(ImproperSettings, match="CELERY"):
        Config.from_dict({"CELERY": "eager"})


def test_equal_settings_are_equal_and_share_a_transport():
    settings = {**SEED, "CELERY": {"task_always_eager": True}}
    first, second = Config.from_dict(settings), Config.from_dict(dict(settings))
    assert first == second
    assert transport_for(first) is transport_for(second)
    assert transport_for(first) is not transport_for(Config.from_dict({**settings, "TIMEOUT": 5}))


@pytest.mark.parametrize("missing", ["BROKER_URL", "RESULT_BACKEND"])
def test_missing_setting_is_reported_on_use(missing):
    config = Config.from_dict({key: value for key, value in SEED.items() if key != missing})
    with pytest.raises(ImproperSettings, match=missing):
        transport_for(config)


@pytest.mark.parametrize("name", ["task_serializer", "result_serializer", "accept_content"])
def test_only_json_is_spoken(name):
    value = ["json", "pickle"] if name == "accept_content" else "pickle"
    with pytest.raises(ImproperSettings, match=name):
        make_app(Config.from_dict({**SEED, "CELERY": {name: value}}))


def test_any_celery_setting_reaches_the_app():
    app = make_app(Config.from_dict({**SEED, "CELERY": {"broker_transport_options": {"confirm_publish": True}}}))
    assert app.conf.broker_transport_options == {"confirm_publish": True}
    assert app.conf.accept_content == ["json"]
