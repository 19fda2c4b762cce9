"""The anatomy of one forward pass: every box of the paper's figure 1 with its code and values.

``boxes`` lists the boxes, ``forward_pass`` computes their values, ``code`` finds their source
lines, ``without`` decodes with one box removed, ``drawing`` draws the figure.
"""
