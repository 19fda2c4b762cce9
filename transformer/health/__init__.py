"""The health check: whether a Transformer is right, in words, from its behaviour alone.

``check_run`` checks a run of this app. The parts are for any implementation::

    from transformer.health import check_attention, check_generation, check_model, check_targets

    findings = [
        check_targets(target_in, target_out, pad_id),
        *check_model(my_model, source, target_in, pad_id),
    ]
    for finding in findings:
        print(finding.state, finding.name, finding.sentence, finding.advice)

``my_model(source, target_in)`` takes ids [batch, source] and [batch, target] and returns logits
[batch, target, vocabulary], with dropout off.
"""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.health.curves import (
        Curve,
        check_curve,
        check_first_loss,
        check_overfit,
        untrained_loss_bound,
    )
    from transformer.health.curves import check_overfit as check_twin  # its former name
    from transformer.health.finding import STATES, Finding
    from transformer.health.invariants import (
        Model,
        check_attention,
        check_model,
        check_targets,
    )
    from transformer.health.learning import (
        check_generation,
        check_gradients,
        check_loss,
        check_moved,
        check_zeroed,
    )
    from transformer.health.run import check_and_keep, check_parts, check_run

__getattr__ = lazy(__name__)
