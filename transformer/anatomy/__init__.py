"""One forward pass taken apart: every box of the paper's figure 1 with its lines and its numbers.

``boxes`` says which there are, ``forward_pass`` what passed them, ``code`` which lines do it,
``without`` what would be written if one were not there, ``drawing`` where each stands.
"""
