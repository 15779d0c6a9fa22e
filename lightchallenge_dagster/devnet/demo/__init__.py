"""The demo: the whole pipeline on one machine, from stakes to payouts, without a hand on it.

``python -m lightchallenge_dagster.devnet.demo`` starts PostgreSQL, a chain with the contracts, a
local OpenDota, the inference network and Dagster, then acts as users, players and the web app
would: it stakes, uploads, writes the web app's rows, and claims. What the pipeline makes of it is
shown while it happens and checked at the end against the chain and the database.

Nothing here imports the pipeline; it is started as processes and seen through its tables, its
transactions and Dagster's API, as anybody else sees it.
"""
