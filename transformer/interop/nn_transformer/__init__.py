"""State dicts of ``torch.nn.Transformer``, in and out."""
