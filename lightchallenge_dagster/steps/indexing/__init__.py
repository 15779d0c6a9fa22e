"""The parts of the indexing step; callers use ``steps.index``."""
