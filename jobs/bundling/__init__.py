"""Export of a model into a bundle, and the proof that each form gives the same answers."""
