"""How logits come about, one position after the other: the plain engine and the fast ones."""
