"""What the pipeline makes, as assets."""

import warnings

from dagster import BetaWarning

# Backfill policies and owners are in beta; every process would say so a dozen times at its start.
warnings.filterwarnings("ignore", category=BetaWarning)
