"""Segmentation: from the tensors of a network to class maps, PNG files and COCO run lengths at the size of the source
image. Runs in the predictor.
"""
