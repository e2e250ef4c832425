"""HDF5 files: finding tables (find), their layouts (layouts, panels), the reader (reader) and the writer (writer)."""
