"""The interface between the last layers of a detector, which differ by family, and `Candidates`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from actors.tasks.base import Outputs
    from actors.tasks.detection.candidates import Candidates


class Head(Protocol):
    """A family of detectors that lay out their outputs alike. Holds no state."""

    @property
    def name(self) -> str:
        """Value of ``task.head`` that names it."""

    @property
    def layout(self) -> str:
        """Outputs of the family, for messages: names and shapes."""

    @property
    def is_suppressed(self) -> bool:
        """True if the network gives each object one box, so that suppression would only lose neighbours."""

    def recognises(self, outputs: Outputs, labels: Sequence[str] | None) -> bool:
        """Returns True if outputs of these names and shapes can be of this family."""

    def plausibility(self, outputs: Outputs) -> int:
        """Ranks the family among several that recognise the outputs, from 0 to 2: 2 for a usual number of boxes."""

    def output_names(self, outputs: Outputs) -> list[str]:
        """The outputs that `candidates` reads. Called only where `recognises` holds."""

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Raises `JobError` where outputs for synthetic images hold values that this family never gives."""

    def parts(self, tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The numbers behind the boxes, by name, each of n entries: how far two engines agree shows in them also where
        no image has a box. Scores as logits or logarithms. Empty for a family that sorts its boxes: their places
        cannot be compared.
        """

    def candidates(
        self, tensors: Mapping[str, np.ndarray], input_hw: tuple[int, int], *, threshold: float
    ) -> Candidates:
        """Converts the outputs for n images.

        Args:
            tensors: the outputs named by `output_names`, each with n entries.
            input_hw: height and width of the model's input, the unit of heads that give shares of it.
            threshold: boxes with a lower score are left out.
        """
