"""Nothing happens to a kind for hours: its watches end before their silence is taken for a dead connection."""

from pykatib.store.kubernetes.api_server import SILENCE_SECONDS
from pykatib.store.kubernetes.reflector import WATCH_SECONDS


def test_a_watch_on_which_nothing_is_said_ends_before_its_connection_is_given_up() -> None:
    assert max(WATCH_SECONDS) < SILENCE_SECONDS
