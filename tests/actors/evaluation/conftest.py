"""torchmetrics imports torchvision, whose operators the CPU build of torch lacks here."""

import torchvision_operators  # noqa: F401
