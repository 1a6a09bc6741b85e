"""`python -m adasoft`: see :mod:`adasoft.cli`."""

from .cli import main
from .screen import open_descriptors

if __name__ == "__main__":
    open_descriptors()
    raise SystemExit(main())
