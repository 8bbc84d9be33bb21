#pragma once

// The program that depends on this target uses jemalloc, on Linux.

// From now on freed memory goes back to the system within seconds, as suits a program that waits for work at times and
// gets requests of very different sizes. Without this, it is kept for a minute of work.
void omma_allocator_return_memory(void);
