"""Decorator for the main function of a verb, which composes its config from the command line. Runs on the driver."""

from __future__ import annotations

import sys
from functools import wraps
from typing import TYPE_CHECKING

import hydra

from jobs.schemas import CONFIG_DIR, compose_verb, register

if TYPE_CHECKING:
    from collections.abc import Callable

    from omegaconf import DictConfig

    Main = Callable[[DictConfig], None]


def verb_main(verb: str) -> Callable[[Main], Callable[[], None]]:
    """Makes a function of a config the main function of ``verb``, like `hydra.main` with ``conf/VERB.yaml``.

    `hydra.main` composes each config twice, first to find out whether to sweep, which takes 0.1 s. So it is called
    only with an option, such as ``--multirun``, or if an argument names Hydra.
    """

    def decorate(main: Main) -> Callable[[], None]:
        @wraps(main)
        def composed() -> None:
            arguments = sys.argv[1:]
            if any(argument.startswith("-") or "hydra" in argument for argument in arguments):
                register(verb)
                hydra.main(version_base="1.3", config_path=CONFIG_DIR, config_name=verb)(main)()
            else:
                main(compose_verb(verb, arguments))

        return composed

    return decorate
