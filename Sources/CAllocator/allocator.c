#include "allocator.h"

// Training and generation ask for large blocks of ever other sizes, which glibc's malloc searches long lists for and
// scatters over memory. jemalloc reads this variable before the program starts: keep freed memory for a minute rather
// than give it back and fault it in again at the next step, large blocks too.
const char *malloc_conf = "oversize_threshold:0,dirty_decay_ms:60000,muzzy_decay_ms:60000";
