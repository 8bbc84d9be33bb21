// `Models`: filled in as the floors are built.
