from __future__ import annotations

import pytest
from hydra import compose, initialize_config_module
from omegaconf.errors import OmegaConfBaseException

from jobs.config import to_object
from jobs.runs.config import ListFormat, RunList


def test_the_file_composes_to_the_config_class() -> None:
    with initialize_config_module("conf", version_base="1.3"):
        wanted = to_object(compose("runs", ["output.path=out", "runs.format=json"]), RunList)
        assert (wanted.output.path, wanted.runs.format) == ("out", ListFormat.json)
        with pytest.raises(OmegaConfBaseException, match="xml"):
            compose("runs", ["runs.format=xml"])
