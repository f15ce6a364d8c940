"""Datasets, one module per kind. Each lists its images; none reads them."""
