/*
 * The stop flag: a signal that would end the process stores its number. A signal that comes more than
 * a second later ends the process; an earlier one does not, because one Ctrl-C can arrive twice: at the
 * process and through its parent.
 */
#define _GNU_SOURCE
#include "stubs.h"

#include <signal.h>

/* Signals to which Deno listens too, see native/stop.ts. */
static const int listened[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR2, SIGALRM, SIGXCPU, SIGXFSZ};
/* Other signals whose default is to end the process. They are caught only if nothing else uses them: a
 * profiler of V8 uses SIGPROF. Real-time signals follow. Signals of a crash are not caught. */
static const int unlistened[] = {SIGUSR1, SIGABRT, SIGVTALRM, SIGPROF, SIGSTKFLT, SIGIO, SIGPWR};
#define COUNT(array) (sizeof array / sizeof *array)
#define STOP_GRACE_MS 1000

static volatile int32_t stop;
static double stopped_at;
static struct sigaction before[_NSIG];
static char caught[_NSIG];
static int active;

static void on_signal(int number) {
  int error = errno;
  double now = ixy_milliseconds();
  if (!active) return; /* Deno's handler calls this one, which was there before it */
  if (!stop) {
    stopped_at = now;
    stop = number;
  } else if (now - stopped_at >= STOP_GRACE_MS) {
    signal(number, SIG_DFL);
    raise(number); /* takes effect when the handler returns */
  }
  errno = error;
}

/* Installs the handler of a signal, and stores the previous one. With `only_default`, leaves a signal that has
 * a handler as it is. */
static int catch_signal(int number, int only_default) {
  struct sigaction handle = {.sa_handler = on_signal}, now;
  if (sigaction(number, 0, &now) < 0) return -errno;
  if (now.sa_handler == on_signal) return 0;
  if (only_default && (now.sa_flags & SA_SIGINFO || now.sa_handler != SIG_DFL)) return 0;
  if (number == SIGHUP && !caught[number] && now.sa_handler == SIG_IGN) return 0;
  if (sigaction(number, &handle, before + number) < 0) return -errno;
  caught[number] = 1;
  return 0;
}

/* Installs the handlers, clears the flag and stores its address; -EBUSY if they are installed already.
 * SIGHUP stays ignored if it is, as under nohup(1). After an error, call ixy_stop_end. */
int32_t ixy_stop_begin(uint64_t *address) {
  int error = 0;
  if (active) return -EBUSY;
  stop = 0;
  *address = (uint64_t)&stop;
  active = 1;
  for (unsigned i = 0; i < COUNT(listened) && !error; i++) error = catch_signal(listened[i], 0);
  for (unsigned i = 0; i < COUNT(unlistened) && !error; i++) error = catch_signal(unlistened[i], 1);
  for (int i = SIGRTMIN; i <= SIGRTMAX && !error; i++) error = catch_signal(i, 1);
  return error;
}

/* Installs the handlers again, over those that Deno has installed since. Deno's call those that they
 * have replaced, so no signal is lost in between. */
int32_t ixy_stop_cover(void) {
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  int error = 0;
  for (unsigned i = 0; i < COUNT(listened) && !error; i++) {
    if (caught[listened[i]]) error = catch_signal(listened[i], 0);
    else if (sigaction(listened[i], &ignore, 0) < 0) error = -errno;
  }
  return error;
}

/* Restores the previous handlers. */
int32_t ixy_stop_end(void) {
  int error = 0;
  active = 0;
  for (int i = 1; i < _NSIG; i++) {
    if (caught[i] && sigaction(i, before + i, 0) < 0) error = -errno;
    caught[i] = 0;
  }
  return error;
}
