"""Import and export of state dicts of ``torch.nn.Transformer``."""
