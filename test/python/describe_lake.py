"""Tells the schema of each table of a lake, as any program sees it, and its rows, as JSON."""
import json
import sys

import pyarrow.parquet as pq

lake = sys.argv[1]
manifest = json.load(open(f"{lake}/manifest.json"))
out = {}
for name in ["events", "decisions", "outcomes", "people"]:
    mine = [f for f in manifest["files"] + [manifest.get("people") or {"table": ""}] if f["table"] == name]
    files = [f"{lake}/{name}/day={f['day']}/{f['name']}" if f.get("day") else f"{lake}/{name}/{f['name']}" for f in mine]
    schemas = [pq.ParquetFile(f).schema_arrow for f in files]
    if any(s != schemas[0] for s in schemas):
        sys.exit(f"the files of {name} differ in their columns")
    tables = [pq.ParquetFile(f).read() for f in files]
    out[name] = {
        "columns": [{"name": f.name, "type": str(f.type), "null": f.nullable} for f in schemas[0]] if schemas else [],
        "rows": [row for t in tables for row in t.to_pylist()],
    }
print(json.dumps(out, default=lambda v: v.isoformat() if hasattr(v, "isoformat") else v.decode()))
