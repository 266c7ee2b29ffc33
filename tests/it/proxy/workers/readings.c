/* Counts how often the threads that serve calls read a clock, and how often they look at their sockets: loaded before a
 * program's libraries, it stands before the C library's own. The counts are in the file that $COUNTS names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>

struct counts { _Atomic unsigned long readings, looks; };

static struct counts nowhere, *counts = &nowhere;
static int (*their_clock_gettime)(clockid_t, struct timespec *);
static int (*their_epoll_wait)(int, struct epoll_event *, int, int);

__attribute__((constructor)) static void begin(void) {
  their_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
  their_epoll_wait = dlsym(RTLD_NEXT, "epoll_wait");
  const char *file = getenv("COUNTS");
  int open_file = file ? open(file, O_RDWR) : -1;
  if (open_file < 0) return;
  void *shared = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, open_file, 0);
  if (shared != MAP_FAILED) counts = shared;
}

static int serves_calls(void) {
  static _Thread_local int known;
  if (!known) {
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof name);
    known = strncmp(name, "keyward-call", 12) == 0 ? 1 : -1;
  }
  return known > 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  if (serves_calls()) counts->readings++;
  return their_clock_gettime(clock, time);
}

int epoll_wait(int queue, struct epoll_event *events, int most, int timeout) {
  if (serves_calls()) counts->looks++;
  return their_epoll_wait(queue, events, most, timeout);
}
