"""The parts of the verification step; callers use ``steps.verify``."""
