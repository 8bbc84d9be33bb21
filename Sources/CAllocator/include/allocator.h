#pragma once

// Nothing to call: the program that depends on this target uses jemalloc, on Linux.
