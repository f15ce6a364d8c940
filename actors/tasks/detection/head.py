"""The interface between the last layers of a detector, which differ by family, and `Candidates`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from actors.tasks.base import Outputs
    from actors.tasks.detection.candidates import Candidates


class Head(Protocol):
    """A family of detectors with the same output layout. Stateless."""

    @property
    def name(self) -> str:
        """Value of ``task.head`` that selects it."""

    @property
    def layout(self) -> str:
        """Names and shapes of the family's outputs, for messages."""

    @property
    def is_suppressed(self) -> bool:
        """True if the network returns one box per object, so that suppression would only lose neighbours."""

    def recognises(self, outputs: Outputs, labels: Sequence[str] | None) -> bool:
        """Returns True if outputs with these names and shapes can belong to this family."""

    def plausibility(self, outputs: Outputs) -> int:
        """Ranks the family among several that recognise the outputs, from 0 to 2: 2 for a usual number of boxes."""

    def output_names(self, outputs: Outputs) -> list[str]:
        """Returns the outputs that `candidates` reads. Called only if `recognises` returns True."""

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Raises `JobError` if outputs for synthetic images hold values that this family never produces."""

    def parts(self, tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns the raw numbers of the boxes, by name, each with n entries, to compare two engines even if no image
        has a box. Scores are logits or logarithms. Empty for a family that sorts its boxes, since positions cannot be
        compared.
        """

    def candidates(
        self, tensors: Mapping[str, np.ndarray], input_hw: tuple[int, int], *, threshold: float
    ) -> Candidates:
        """Converts the outputs for n images.

        Args:
            tensors: the outputs named by `output_names`, each with n entries.
            input_hw: height and width of the model's input, the unit of heads that return fractions of it.
            threshold: boxes with a lower score are omitted.
        """
