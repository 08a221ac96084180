"""File structure around the coded picture: boxes, chunks, segments, and metadata."""
