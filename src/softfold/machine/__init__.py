"""The machine: devices and threads, the cache, and what `softfold doctor` measures."""
