"""Many machines: a worker that knows no engine, and the table of what is done. See docs/cluster.md."""

from clothseg.cluster._listing import Listing, find_photos, list_photos
from clothseg.cluster._table import Done, read_done, schema
from clothseg.cluster._worker import Row, Worker, job_key

__all__ = ["Done", "Listing", "Row", "Worker", "find_photos", "job_key", "list_photos", "read_done", "schema"]
