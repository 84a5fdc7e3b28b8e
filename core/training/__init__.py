"""Images to an encoder: batches, augmentation, objectives, the loop, checkpoints, embedding. Knows torch and timm."""
