"""torchmetrics imports torchvision, whose operators are missing here in the CPU build of torch."""

import torchvision_operators  # noqa: F401
