"""Models of every form. Re-exports the public names."""

from actors.models.network import build_network
from actors.models.spec import Model

__all__ = ["Model", "build_network"]
