"""Opens a lake as any program would, and prints what is in it as JSON."""
import json
import sys

import pyarrow.compute as pc
import pyarrow.dataset as ds

lake = sys.argv[1]
manifest = json.load(open(f"{lake}/manifest.json"))
named = [f"{lake}/events/day={f['day']}/{f['name']}" for f in manifest["files"] if f["table"] == "events"]
table = ds.dataset(named, format="parquet", partitioning=ds.partitioning(flavor="hive"), partition_base_dir=f"{lake}/events").to_table()
found = ds.dataset(f"{lake}/events", format="parquet", partitioning="hive").to_table(columns=["message_id"])
print(json.dumps({
    "rows": table.num_rows,
    "found": found.num_rows,
    "columns": table.schema.names,
    "types": [str(t) for t in table.schema.types],
    "days": sorted(set(table["day"].to_pylist())),
    "revenue": sum(json.loads(p)["revenue"] for p in table["properties"].to_pylist()),
    "first": pc.min(table["time"]).as_py().isoformat(),
    "email": sum("email:p3@example.org" in ids for ids in table["identifiers"].to_pylist()),
    "nulls": table["item"].null_count,
}))
