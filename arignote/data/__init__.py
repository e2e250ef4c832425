"""Where data comes from and where networks are kept: readers, the thread that prepares batches, files."""
