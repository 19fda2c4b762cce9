"""The names of settings on screen."""

import pytest

from transformer.config import TrainingConfig, TransformerConfig
from transformer.config.names import on_screen
from transformer.errors import ConfigError

SIZES = {"source_vocab_size": 8, "target_vocab_size": 8}


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        (
            TransformerConfig,
            SIZES | {"d_model": 63, "num_heads": 2},
            "Heads = 2: must divide Width (d_model) = 63 without remainder.",
        ),
        (TrainingConfig, {"steps": 0}, "Updates = 0: must be between 1 and 10,000,000."),
        (
            TrainingConfig,
            {"schedule": "inverse-sqrt", "warmup_steps": 0},
            "Warm-up updates = 0: the inverse-sqrt schedule needs at least 1 (the paper: 4,000).",
        ),
    ],
)
def test_a_refused_setting_is_named_as_on_the_form(
    kind: type, settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        kind(**settings)
    assert on_screen(str(refused.value)) == sentence
