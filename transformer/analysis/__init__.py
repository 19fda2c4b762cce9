"""What attention shows, and what it causes: numbers about heads, without figures or pages.

heads       the name of a head, shared by studies, figures and addresses
patterns    how well each head fits patterns that matter, and a sentence that says so
ideal       where cross-attention would look if it solved a task by looking at the answer
arithmetic  how one weight comes about: q, k, score, softmax, and what the head writes
ablation    what happens without a head, or with its output from another input
saliency    gradient x input for one output token
rollout     attention multiplied through the layers
reference   the paper's formulas once more, in NumPy, to check the model against
untrained   the weights a checkpoint had before its first update

``heads``, ``patterns``, ``ideal``, ``rollout`` and ``reference`` need no torch.
"""
