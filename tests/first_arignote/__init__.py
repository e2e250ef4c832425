"""Programs that call everything as users of the first Arignote did, one for each area."""
