"""Examples that can be imported."""
