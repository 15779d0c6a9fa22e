"""What the pipeline reads and does not make: the web app's tables, the node, the providers."""

from __future__ import annotations

from dagster import AssetSpec

from lightchallenge_dagster.assets.catalog import MONEY, OWNERS, TABLES, WEB_APP, WEB_APP_TABLES

WEB_APP_ASSETS = [
    AssetSpec(
        key,
        description=description,
        group_name=WEB_APP,
        kinds={"postgres"},
        owners=OWNERS[WEB_APP],
        metadata={"dagster/table_name": f"public.{key}"},
    )
    for key, description in WEB_APP_TABLES.items()
]

SOURCES = [
    AssetSpec(
        "lightchain_node",
        description="The JSON-RPC node that blocks, logs and receipts are read from.",
        group_name="sources",
        kinds={"ethereum"},
        owners=OWNERS[MONEY],
    ),
    AssetSpec(
        "opendota_api",
        description="OpenDota: Dota 2 matches by Steam id.",
        group_name="sources",
        kinds={"api"},
        owners=["team:data"],
    ),
    AssetSpec(
        "upload_inbox",
        description="The folder the web app puts uploads into: Apple Health exports, JSON.",
        group_name="sources",
        kinds={"file"},
        owners=["team:data"],
    ),
]

# Written by jobs, never by "materialize": nobody may trigger a payment from the asset graph.
MONEY_ASSETS = [
    AssetSpec(
        "transactions",
        deps=["aivm_jobs", "verdicts", "rankings"],
        description=TABLES["transactions"].description,
        group_name=MONEY,
        kinds={"postgres", "ethereum"},
        owners=OWNERS[MONEY],
        metadata={"dagster/table_name": TABLES["transactions"].name},
    ),
]

EXTERNAL_ASSETS = [*WEB_APP_ASSETS, *SOURCES, *MONEY_ASSETS]
