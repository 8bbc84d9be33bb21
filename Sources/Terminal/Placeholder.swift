// Progress bar, tables, colour and formats: filled in next.
