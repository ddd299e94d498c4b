"""One segment as it is shown."""

from posd.daemon.shown.views import View
from posd.journal.segment import Placed, Segment


def segment_view(segment: Segment) -> View:
    """What the journal knows of it."""
    return {
        "month": segment.month,
        "first": segment.first,
        "last": segment.last,
        "rows": segment.rows,
        "records": segment.records,
        "messages": segment.messages,
        "bytes": segment.file_bytes,
        "head": segment.head_link.hex(),
        "sha256": segment.file_sum.hex(),
        "file": segment.file_name,
    }


def placed_view(placed: Placed) -> View:
    """The same with where it is."""
    return {**segment_view(placed.segment), "path": str(placed.path), "here": placed.is_here}
