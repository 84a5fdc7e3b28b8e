"""Embeddings to numbers: tables, clusters, metrics, comparisons, layouts. No torch, no state."""
