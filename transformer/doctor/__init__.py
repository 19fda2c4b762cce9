"""Compares a user's own Transformer with the paper's, and says where and why they differ.

:mod:`doctor.capture` records the user's model in the user's environment, in a file (a *capture*).
All other modules read that file and never run the user's code. In a notebook::

    from transformer import doctor

    print(doctor(model).text())

Terms: a *recording* is a capture once read; a *probe* is a small batch of ids with its logits; an
*event* is one recorded operation, or a *leaf*: a tensor that no operation made. A *reading* says
which weights play which role; the *reference* is our model ("ours") with the weights of the user's
("theirs"). A *departure* is a difference from the paper. The *spread* of logits is their standard
deviation.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.doctor.examine import doctor, examine
    from transformer.doctor.report import Report

__getattr__ = lazy(__name__)


class _Callable(ModuleType):
    """Makes the package callable: ``doctor(model)``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from transformer.doctor.examine import doctor as examined

        return examined(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
