"""Work by the clock. A schedule that finds nothing to do launches nothing."""
