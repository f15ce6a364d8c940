"""Cache of the quantised network. Stored with the output, so that all its rows of a model come from the same weights,
whichever images later jobs sample. Runs on the driver.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from actors.messages import writing_to
from actors.storage.uris import join

if TYPE_CHECKING:
    from jobs.planning.trial_runner import TrialRunner
    from jobs.runs.opening import Run

LOG = logging.getLogger("shardlens")


def int8_graph(run: Run, trials: TrialRunner) -> bytes:
    """Returns the network of ``run``, quantised on images of its dataset by the first job for this output and model.

    Raises:
        JobError: no image of the dataset can be read, or the network cannot be quantised.
    """
    uri = join(run.paths.root, "_engines", f"{run.paths.fingerprint}-int8.onnx")
    try:
        return run.storage.read(uri)
    except FileNotFoundError:
        LOG.info("quantising the network to int8 on images of the dataset")
    graph = trials.quantise()
    try:
        with writing_to(uri):
            run.storage.write(uri, graph, create=True)
    except FileExistsError:  # another driver of this output finished first
        return run.storage.read(uri)
    return graph
