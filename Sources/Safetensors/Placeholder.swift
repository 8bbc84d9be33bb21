// `Safetensors`: filled in as the floors are built.
