"""Search errors or model errors? Exact search tells them apart (Stahlberg and Byrne, 2019)."""

from collections.abc import Iterator

from transformer.decoding.exact import exact_search
from transformer.decoding.strategies import Greedy, decode
from transformer.experiments.bundled import examples, load
from transformer.experiments.experiment import Experiment, Outcome, Settings

MODELS = {"pronunciation": 60, "scan-length": 25, "numbers": 25, "dates": 25}
"""Bundled models, and the number of inputs of each."""
SHORT = 4
LONGEST = 40


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Compare greedy and exact search on the same inputs."""
    counts = dict.fromkeys(("inputs", "empty", "greedy best", "wrong", "wrong though best"), 0)
    total = sum(SHORT if settings.short else count for count in MODELS.values())
    expansions = proven = 0
    for name, count in MODELS.items():
        checkpoint = load(name)
        for pair in examples(checkpoint, SHORT if settings.short else count, settings.seed):
            source = checkpoint.encode(pair.source)
            length = len(checkpoint.target_vocabulary.encode(pair.target)) + LONGEST
            best = exact_search(checkpoint.model, source, length)
            greedy = decode(checkpoint.model, source, Greedy(max_length=length))[0]
            wrong = checkpoint.target_vocabulary.decode(best.tokens) != pair.target
            counts["inputs"] += 1
            counts["empty"] += len(best.tokens) == 1
            counts["greedy best"] += best.tokens == greedy.tokens
            counts["wrong"] += wrong
            counts["wrong though best"] += wrong and best.proven
            expansions += best.expansions
            proven += best.proven
            yield counts["inputs"] / total
    inputs = counts["inputs"]
    share = counts["empty"] / inputs
    yield Outcome(
        {
            "empty is best": share,
            "greedy is best": counts["greedy best"] / inputs,
            "proven": proven / inputs,
        },
        f"The empty output is the most probable one for {counts['empty']} of {inputs} inputs. "
        f"Greedy search finds the best output for {counts['greedy best']}. For {proven}, exact "
        f"search proves that no output is better, after {expansions / inputs:.1f} prefixes on "
        f"average. Of its {counts['wrong']} wrong outputs, {counts['wrong though best']} are "
        "errors of the model, not of the search.",
        0 if share < 0.02 else 1 if share < 0.5 else 2,
    )


EXPERIMENT = Experiment(
    name="search",
    title="Is it the search or the model that errs?",
    claim="The most probable translation of a neural model is often the empty one: beam search "
    "gives good output because it does not find the model's most probable one.",
    source="Stahlberg and Byrne 2019, On NMT Search Errors and Model Errors",
    published="for more than 50 % of sentences the most probable output is empty (WMT15 "
    "English-German, Transformer base)",
    what="An exact best-first search over all outputs of four bundled models, compared with "
    "greedy search.",
    question="For how many of these inputs is the empty output the model's most probable one?",
    options=("none", "about one in ten", "more than half"),
    bands={"empty is best": (0.0, 0.02), "greedy is best": (0.9, 1.0), "proven": (0.95, 1.0)},
    holds={"empty is best": (0.5, 1.0)},
    why="These outputs are short and the models are sure of them: greedy search nearly always "
    "finds the most probable one, and wrong answers are the model's own. Empty outputs need long, "
    "uncertain translations: try an imported MarianMT model.",
    minutes=1,
    run=run,
)
