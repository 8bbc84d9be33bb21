#include "allocator.h"

// Training and generation ask for large blocks of ever other sizes, which glibc's malloc searches long lists for and
// scatters over memory. jemalloc reads this variable before the program starts: keep freed memory for a minute rather
// than give it back and fault it in again at the next step, large blocks too.
const char *malloc_conf = "oversize_threshold:0,dirty_decay_ms:60000,muzzy_decay_ms:60000";

#if defined(__linux__)
#include <jemalloc/jemalloc.h>
#include <stdbool.h>
#include <sys/types.h>

void omma_allocator_return_memory(void) {
  ssize_t milliseconds = 5000;
  bool on = true;
  // 4096 stands for all arenas that are there; the others take the defaults. What the allocator refuses stays as it was.
  const char *names[] = {"arena.4096.dirty_decay_ms", "arenas.dirty_decay_ms", "arena.4096.muzzy_decay_ms",
                         "arenas.muzzy_decay_ms"};
  for (int i = 0; i < 4; i++) mallctl(names[i], NULL, NULL, &milliseconds, sizeof milliseconds);
  mallctl("background_thread", NULL, NULL, &on, sizeof on);
}
#else
void omma_allocator_return_memory(void) {}
#endif
