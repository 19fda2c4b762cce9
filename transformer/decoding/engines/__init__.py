"""Engines that compute the decoder's logits one position at a time: a plain one and fast ones."""
