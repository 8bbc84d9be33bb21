// `Media`: filled in as the floors are built.
