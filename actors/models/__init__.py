"""Models, in whatever form they come. The public names are handed on here."""

from actors.models.network import build_network
from actors.models.spec import Model

__all__ = ["Model", "build_network"]
