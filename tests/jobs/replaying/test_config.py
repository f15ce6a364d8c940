from __future__ import annotations

from jobs.config import to_object
from jobs.replaying.config import Replay, ReplayJob
from jobs.schemas import compose_verb


def test_the_keys_compose() -> None:
    overrides = ["run=r", "url=http://127.0.0.1:8000", "output.path=out", "replay.images=20"]
    wanted = to_object(compose_verb("replay", overrides), ReplayJob)
    assert (wanted.run, wanted.url, wanted.output.path) == ("r", "http://127.0.0.1:8000", "out")
    assert wanted.replay == Replay(images=20)
