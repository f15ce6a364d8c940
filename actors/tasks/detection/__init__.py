"""Object detection: from the tensors of many kinds of networks to boxes in source pixels. Runs in the predictor."""
