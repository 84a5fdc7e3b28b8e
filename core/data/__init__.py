"""Images in: sources, the manifest of samples, splits and decoded pixels. No torch."""
