"""Where images come from: one module a kind of dataset. Each lists its images; none reads them."""
