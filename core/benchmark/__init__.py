"""How fast training and embedding are, against plain PyTorch and against arithmetic alone."""
