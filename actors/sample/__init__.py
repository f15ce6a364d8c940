"""The sample: 1,797 handwritten digits, a small network, and the weights that `train` found."""
