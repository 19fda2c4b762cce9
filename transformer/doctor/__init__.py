"""Is a person's own implementation the paper's, and if not, where and why?

:mod:`doctor.capture` watches their model in their own environment; the rest sees the capture
alone, and never runs their code. In a notebook::

    from transformer import doctor

    print(doctor(model).text())
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
    """The package can be called as its one function is."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from transformer.doctor.examine import doctor as examined

        return examined(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
