"""Images in: sources, the manifest of samples, splits and decoded pixels. No torch, but for `fetch`, a process of its own."""
