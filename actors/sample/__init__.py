"""The sample: 1,797 handwritten digits, a small network, and weights trained by `train`."""
