"""Object detection: from the tensors of many kinds of networks to boxes in pixels of the source image. Runs in the
predictor.
"""
