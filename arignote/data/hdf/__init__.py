"""HDF5 files: what lies in them (find, layouts, panels), how they are read (reader) and written (writer)."""
